"""Masks, forms and keys: what of a message is a value, and which lines are found alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.model.forms import fits, generalise, is_name_place, key_of, shape_of, tokens_of
from services.ingest.model.masking import MAX_TOKEN_CHARS, WILDCARD, mask_token
from services.ingest.model.miner import Miner

WORDS = st.text(st.sampled_from("ab1.=:,()[]{}<>*\"'/-_#u "), min_size=1, max_size=12).map(lambda t: t.replace(" ", ""))
TOKENS = st.lists(WORDS.filter(bool).map(mask_token), max_size=8).map(tuple)


@pytest.mark.parametrize(
    ("token", "masked"),
    [
        ("core.2345", "core.<*>"), ("<memory:512,", "<memory:<*>,"), ("chdir(/srv/x)", "chdir(<*>)"), ("#12", "#<*>"),
        ("init2()", "init2()"), ("ssh2]", "ssh2]"), ("IPv4", "IPv4"), ("true,", "<*>,"), ("db.example.org:80", "<*>"),
        ("00:16:3e:ab:cd:ef", "<*>"), ("fe80::1", "<*>"), ("PSR0=7", "PSR0=<*>"), ("fetch......1", "fetch......<*>"),
        ("u'4b44f4fe-1',", "u'<*>',"), ("limit=" + "x" * 200, "limit=<*>"), ("./run:", "<*>:"),
        ("/", "/"), ("...", "..."),
    ],
)  # fmt: skip
def test_masks_keep_names_and_punctuation(token: str, masked: str) -> None:
    """The value goes; what stands before and after it stays."""
    assert mask_token(token) == masked


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("at Fri Jun 17 07:07:00 2005", "at <*>"), ("in May we met", "in May we met"),
        ("delete blk_1 blk_2 blk_3", "delete <*>"), ('"GET /v2/1 HTTP/1.1" status: 200', '"GET <*>" status: <*>'),
        ("up [u'1a', u'2b'] down []", "up [u'<*>'] down []"), ('tag="View Lock", uid=7', 'tag="<*>", uid=<*>'),
    ],
)  # fmt: skip
def test_several_words_may_be_one_value(line: str, text: str) -> None:
    """A date, a list, a quoted value."""
    assert " ".join(tokens_of(tuple(map(mask_token, line.split()))).tokens) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user=root", "user=test"), ("ruser=", "ruser=eve"), ("rhost=a.example.org", "rhost=<*>"),
        ("ret:yes", "ret:no"),
        ("node.a.example.org", "db.b.example.org"), ("a/b/c", "d/e/f"), ("()", "(<*>)"), ("[]", "['<*>']"),
        ("'eth'", "'br'"), ("core.<*>", "<*>"), ("ws=null,", "ws=Source{<*>},"),
    ],
)  # fmt: skip
def test_words_that_look_like_values_share_a_key(one: str, other: str) -> None:
    """Though they have no digit."""
    assert key_of((one,)) == key_of((other,))


@pytest.mark.parametrize(("one", "other"), [("Paused", "Resumed"), ("len=<*>", "time=<*>"), ('"GET', '"POST')])
def test_words_that_tell_things_apart_do_not(one: str, other: str) -> None:
    """Plain words, and values of different names."""
    assert key_of((one,)) != key_of((other,))


@pytest.mark.parametrize(
    ("line", "at", "expected"),
    [
        ("session closed for user cyrus", 4, True), ("password for root from <*>", 2, True),
        ("waiting for lock", 2, True),
        ("copy from the pool", 2, False), ("link is up", 2, False), ("(root) CMD", 0, True), ("user", 0, False),
    ],
)  # fmt: skip
def test_names_stand_after_user_and_alone_after_prepositions(line: str, at: int, expected: bool) -> None:
    """There fewer variants make a variable."""
    assert is_name_place(line.split(), at) == expected


@given(TOKENS)
def test_a_key_is_its_own_key(tokens: tuple[str, ...]) -> None:
    """And a shape its own shape, and every token fits its shape."""
    assert key_of(key_of(tokens)) == key_of(tokens)
    for token in tokens:
        assert shape_of(shape_of(token)) == shape_of(token)
        assert token.count(WILDCARD) <= 1


@given(TOKENS, TOKENS, TOKENS)
def test_generalising_forgets_the_order(one: tuple[str, ...], other: tuple[str, ...], third: tuple[str, ...]) -> None:
    """So replicas that saw lines in another order have the same text."""
    size = min(len(one), len(other), len(third))
    a, b, c = one[:size], other[:size], third[:size]
    assert generalise(a, b) == generalise(b, a)
    assert generalise(generalise(a, b), c) == generalise(a, generalise(b, c))
    assert generalise(generalise(a, b), b) == generalise(a, b)


@given(WORDS.filter(bool))
def test_a_masked_token_fits_its_word(token: str) -> None:
    """What is constant in it is in the word, at its ends."""
    masked = mask_token(token)
    assert masked == token or fits(masked, token)


VALUES = "user=root user=eve Jun Fri 12 7.5 a b c ['1a', '2b', '3c'] <*> tag=\"x y\" x=1 () (h.a.b.c) h.a.b.c".split()
MESSAGE = st.lists(st.sampled_from(VALUES) | WORDS.filter(bool), max_size=70).map(" ".join)
MESSAGES = st.lists(MESSAGE, max_size=40)


@given(MESSAGES)
def test_text_and_parameters_are_the_message(messages: list[str]) -> None:
    """Each `<*>` of the template's text by its parameter gives the words again, whatever was learnt before."""
    miner = Miner(max_templates=30)
    for message in messages:
        template_id, parameters = miner.mine(message, 0)
        pieces = miner.record(template_id)["text"].split(WILDCARD)
        assert len(pieces) == len(parameters) + 1
        filled = pieces[0] + "".join(p + piece for p, piece in zip(parameters, pieces[1:], strict=True))
        assert filled.split() == message.split()


def test_long_tokens_keep_their_name_only() -> None:
    """However long, a masked token is short."""
    assert len(mask_token("key=" + "v" * 1_000_000)) <= MAX_TOKEN_CHARS + len(WILDCARD)
