"""The template miner: stable ids, aliases, bounded memory, and no state but its records."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.model.masking import mask_token
from services.ingest.model.miner import MAX_VARIANTS, Miner


@pytest.mark.parametrize(
    ("token", "masked"),
    [
        ("started", "started"), ("12.5", "<*>"), ("len=123,", "len=<*>,"), ("[4b44f4fe-3397]", "[<*>]"),
        ("/var/lib/nova", "<*>"), ("and/or", "and/or"), ("http://controller/v2", "<*>"), ("10.0.0.1:9696", "<*>"),
        ("network-vif-plugged:4e5495ec", "network-vif-plugged:<*>"), ('"GET', '"GET'), ("x" * 200, "<*>"),
    ],
)  # fmt: skip
def test_masks(token: str, masked: str) -> None:
    """Values go; words, names before values and punctuation stay."""
    assert mask_token(token) == masked


def test_parameters_are_the_variable_parts_in_order() -> None:
    """Without the constant characters around them."""
    mined = Miner().mine("Attempting claim: memory 512 MB, disk=1, [node c1]", 0)
    assert mined[1] == ["512", "1", "c1"]


def test_the_same_text_has_the_same_id_in_every_miner() -> None:
    """Whatever else was mined before."""
    busy = Miner()
    for number in range(100):
        busy.mine(f"word{number} went away and {number} came", 0)
    assert busy.mine("Took 3 seconds", 5)[0] == Miner().mine("Took 7 seconds", 0)[0]


def vary(miner: Miner, number: int) -> list[str]:
    """Mines messages that differ in one word without digits."""
    words = ["".join(random.Random(i).choices("abcdefgh", k=8)) for i in range(number)]
    return [miner.mine(f"service {word} was stopped from the console", 0)[0] for word in words]


def test_few_variants_of_a_word_stay_templates() -> None:
    """`VM Paused` and `VM Resumed` are two things."""
    assert len(set(vary(Miner(), MAX_VARIANTS))) == MAX_VARIANTS


def test_many_variants_make_a_variable_with_aliases() -> None:
    """They become one template; the others name it as theirs."""
    miner = Miner()
    ids = vary(miner, MAX_VARIANTS + 5)
    root = min(ids[: MAX_VARIANTS + 1])
    records = {record["template_id"]: record for record in miner.take_changes()}
    assert set(ids[MAX_VARIANTS + 1 :]) == {root}
    assert records[root]["text"] == "service <*> was stopped from the console"
    assert len(records[root]["aliases"]) == MAX_VARIANTS
    assert all(records[alias]["alias_of"] == root for alias in records[root]["aliases"])
    assert miner.mine("service zoe was stopped from the console", 0)[1] == ["zoe"]


@pytest.mark.parametrize("users", [("root", "web1"), ("web1", "root")])
def test_a_name_is_a_value_where_a_value_stood(users: tuple[str, str]) -> None:
    """Whichever came first."""
    miner = Miner()
    ids = [miner.mine(f"session closed for user {user}", 0)[0] for user in users]
    root = miner.root(ids[0])
    assert {miner.root(each) for each in ids} == {root}
    assert miner.record(root)["text"] == "session closed for user <*>"
    assert miner.mine("session closed for user root", 0) == (root, ["root"])


def test_changes_are_taken_once() -> None:
    """A template that did not change is not written again."""
    miner = Miner()
    miner.mine("hello 1", 0)
    assert len(miner.take_changes()) == 1
    miner.mine("hello 2", 0)
    assert miner.take_changes() == []


def messages(seed: int, number: int) -> list[str]:
    """Messages that vary in up to three words, of a few lengths."""
    dice = random.Random(seed)
    return [
        f"{dice.choice('abcdefghijklmnop')} {dice.choice('qrst')} of the {dice.choice('xyz')} is {dice.choice('ab9')}"
        + " now" * dice.randint(0, 1)
        for _ in range(number)
    ]


MESSAGES = st.builds(messages, st.integers(0, 2**32), st.integers(0, 400))


@settings(max_examples=60, deadline=None)
@given(MESSAGES, MESSAGES, st.randoms(use_true_random=False))
def test_a_miner_is_what_its_records_are(first: list[str], then: list[str], shuffle: random.Random) -> None:
    """Rebuilt from them, in any order and twice, it knows the same and goes on the same way."""
    one, log = Miner(), []
    for message in first:
        one.mine(message, 7)
        log += one.take_changes()
    latest = list({record["template_id"]: record for record in log}.values())
    shuffle.shuffle(latest)
    other = Miner()
    for record in latest + latest:
        other.load(record)
    assert other.take_changes() == []
    assert other.records() == one.records()
    assert [one.mine(message, 8) for message in then] == [other.mine(message, 8) for message in then]
    assert other.records() == one.records()


@settings(max_examples=30, deadline=None)
@given(MESSAGES, MESSAGES)
def test_replicas_agree_once_they_have_read_each_other(left: list[str], right: list[str]) -> None:
    """Whoever mined what, both end with the same templates and aliases."""
    one, other = Miner(), Miner()
    for miner, messages in ((one, left), (other, right)):
        for message in messages:
            miner.mine(message, 7)
    for _ in range(4):
        for miner, reader in ((one, other), (other, one)):
            for record in miner.records():
                reader.load(record)
    ids = {record["template_id"]: record["alias_of"] for record in one.records()}
    assert ids == {record["template_id"]: record["alias_of"] for record in other.records()}


def test_the_number_of_templates_is_bounded() -> None:
    """Hostile lines, each of new words, end in the template of everything."""
    miner = Miner(max_templates=200)
    letters = random.Random(1)
    for _ in range(2000):
        miner.mine(" ".join("".join(letters.choices("abcdefghij", k=9)) for _ in range(letters.randint(1, 20))), 0)
    assert len(miner) <= 201


@pytest.mark.timeout(120)  # against hanging
@pytest.mark.parametrize("message", ["a " * 500_000, "x" * 1_000_000, "[" * 1_000_000, "=" * 1_000_000, "", " \t "])
def test_hostile_messages_end(message: str) -> None:
    """Long, empty, all of punctuation: a template and no long wait."""
    assert len(Miner().mine(message, 0)[0]) == 16


@given(st.text(max_size=300))
def test_any_text_has_a_template(message: str) -> None:
    """16 hexadecimal digits, the same twice."""
    miner = Miner()
    mined = miner.mine(message, 0)
    assert miner.mine(message, 0) == mined
    assert int(mined[0], 16) >= 0
    assert len(mined[0]) == 16


def test_given_templates_are_not_mined() -> None:
    """printf-style placeholders become variables, in the id that a mined one would have."""
    miner = Miner()
    assert miner.given("Took %(s)0.2f seconds, %d%%", 0) == miner.given("Took %s seconds, %i%%", 0)
    assert miner.given("Took %s seconds", 0) == miner.mine("Took 5 seconds", 0)[0]
