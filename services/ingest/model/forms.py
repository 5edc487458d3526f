"""What a masked line is found by: its tokens with spans, and of these the key.

`tokens_of` puts several words that are one value into one `<*>`: a date (`Sun Jul <*> <*> <*>`), a list of values of
any length, a quoted value with spaces. `key_of` looks through words that look like values though they have no digit:
`user=root`, `db.example.org`, `a/b/c`: lines that differ there only are one template, whose text keeps such a word for
as long as no other was seen in its place.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from services.ingest.model.masking import CLOSING, MAX_TOKEN_CHARS, OPENING, WILDCARD

_DAYS = frozenset("Mon Tue Wed Thu Fri Sat Sun Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
_MONTHS = frozenset(
    "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec January February March April June July August September October "
    "November December".split()
)
_ZONES = frozenset("UTC GMT CET CEST EST EDT CST CDT MST MDT PST PDT BST IST JST AM PM".split())
_CALENDAR = _DAYS | _MONTHS
_DATE_WORDS = _CALENDAR | _ZONES | {WILDCARD}
#: Between prepositions, or after the last of them, a word alone is more often a name than a kind.
_CLOSERS = "])}\"'`,;.:!?"
_PREPOSITIONS = frozenset("for from by to at on of as with in into via".split())
_BEFORE_NAMES = _PREPOSITIONS | {"user"}
#: `key=value`, `key:value`, `Thing(key=value`; the value may be empty after `=`.
_PAIR = re.compile(
    r"""((?:[\w.\-]*[(\[{<"'`,;])*[A-Za-z_][\w.\-]*(?:=(?![=>])["'(\[{<]*|:(?=[A-Za-z<"'\[{(])["'(\[{<]*))(.*)""",
    re.DOTALL,
)
_NAME_LIKE = re.compile(
    r"[A-Za-z][\w$-]*(?:\.[\w$-]+){2,}(?:/[\w.$-]+)*"  # host.example.org, org.example.Class
    r"|[\w.+-]+@[\w.-]+"  # someone@example.org
    r"|[\w.~-]+(?:/[\w.~-]+){2,}"  # a/b/c
    r"|[A-Za-z_]{3,}\.<\*>|#<\*>"  # core.2345, #12
    r"|\S+://\S*"
)
#: A list of one value or none: `[]`, `['<*>'],`.
_LIST = re.compile(r"""([\[({])(?:[ubr]?["']<\*>["']|<\*>)?([\])}])([,.;:]*)""")
_LIST_FIRST = re.compile(r"""(.*[\[({][ubr]?["']?)<\*>["']?,""", re.DOTALL)
_LIST_NEXT = re.compile(r"""[ubr]?["']?<\*>["']?,""")
_LIST_LAST = re.compile(r"""[ubr]?["']?<\*>(["']?[\])}].*)""", re.DOTALL)
_QUOTED = re.compile(r"([\"'`])[^\"'`]+\1[,;:.)\]}]*")


#: Where words may be one value, beside dates.
_JOINED = re.compile(r"""="|<\*>["']?,? [ubr]?["']?<\*>""")
#: A span for each word of a line.
_SINGLE = tuple((at, at + 1) for at in range(256))
_REMEMBERED = 16_384
#: Longer tokens, of templates that programs gave, are taken as they are.
_MAX_CHARS = 2 * MAX_TOKEN_CHARS


class Form(NamedTuple):
    """A line's tokens, and for each the words it stands for: `words[first:last]`."""

    tokens: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


def tokens_of(masked: tuple[str, ...]) -> Form:
    """Joins words of a masked line that are one value. Linear in their number."""
    line = " ".join(masked)
    if not _JOINED.search(line) and _CALENDAR.isdisjoint(masked):
        return Form(masked, _SINGLE[: len(masked)])
    tokens: list[str] = []
    spans: list[tuple[int, int]] = []
    at = 0
    while at < len(masked):
        end, token = _date_at(masked, at) or _quoted_at(masked, at) or _list_at(masked, at) or _run_at(masked, at)
        tokens.append(token)
        spans.append((at, end))
        at = end
    return Form(tuple(tokens), tuple(spans))


def key_of(tokens: Sequence[str]) -> tuple[str, ...]:
    """The tokens with what looks like a value as `<*>`. Of a key the same again."""
    return tuple(token if len(token) > _MAX_CHARS else _key_of_token(token) for token in tokens)


def shape_of(token: str) -> str:
    """A `<*>` with the names before it and the punctuation around it. Of a shape the same again."""
    return WILDCARD if len(token) > _MAX_CHARS else _shape_of(token)


@lru_cache(_REMEMBERED)
def _shape_of(token: str) -> str:
    values = _LIST.fullmatch(token)
    if values:
        return f"{values[1]}{WILDCARD}{values[2]}{values[3]}"
    pair = _PAIR.fullmatch(token)
    if pair:
        value = pair[2]
        return f"{pair[1].removesuffix('<') if value.startswith('*>') else pair[1]}{WILDCARD}{_closing(value)}"
    before, wildcard, after = token.partition(WILDCARD)
    if not wildcard:
        after = token.lstrip(OPENING)
        if not after.rstrip(CLOSING):
            return WILDCARD
        before = token[: len(token) - len(after)]
    opening = before[: len(before) - len(before.lstrip(OPENING))]
    return f"{opening}{WILDCARD}{_closing(after)}"


def _closing(value: str) -> str:
    """The punctuation after a value, without the brackets that the value itself opens."""
    bare = value.replace(WILDCARD, "x").removeprefix("*>")
    closing = bare[len(bare.rstrip(_CLOSERS)) :]
    for opened, closed in ("()", "[]", "{}"):
        for _ in range(bare.count(opened)):
            closing = closing.replace(closed, "", 1)
    return closing


def generalise(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """The most special tokens that match both, which are of equal number. Order and repetition play no part."""
    return tuple(a if a == b else _join(shape_of(a), shape_of(b)) for a, b in zip(one, other, strict=True))


def fits(token: str, word: str) -> bool:
    """The word, masked or not, is what the template's token stands for."""
    before, wildcard, after = token.partition(WILDCARD)
    return bool(wildcard) and len(word) >= len(before) + len(after) and word.startswith(before) and word.endswith(after)


def is_name_place(tokens: Sequence[str], at: int) -> bool:
    """A single word where names stand: in brackets, after `user`, or alone after a preposition."""
    token = tokens[at]
    if token[0] in "([" and token.rstrip(_CLOSERS)[1:].isalpha():
        return True
    before = tokens[at - 1].lower() if at else ""
    if before not in _BEFORE_NAMES or not token.replace("-", "").replace("_", "").isalpha():
        return False
    if before == "user":
        return True
    last = at + 1 == len(tokens)
    return last or tokens[at + 1] in _PREPOSITIONS or tokens[at + 1][0] in "[("


@lru_cache(_REMEMBERED)
def _key_of_token(token: str) -> str:
    return shape_of(token) if _looks_like_value(token) else token


def _looks_like_value(token: str) -> bool:
    if token == WILDCARD or token.isalpha():
        return False
    return bool(
        _LIST.fullmatch(token)
        or _PAIR.fullmatch(token)
        or _QUOTED.fullmatch(token)
        or _NAME_LIKE.fullmatch(token.strip("[](){}\"'`,;:!?."))
    )


def _join(one: str, other: str) -> str:
    return one if one == other else WILDCARD


def _date_at(masked: Sequence[str], at: int) -> tuple[int, str] | None:
    if masked[at] not in _CALENDAR:
        return None
    end = at
    while end < len(masked) and masked[end] in _DATE_WORDS:
        end += 1
    return (end, WILDCARD) if WILDCARD in masked[at:end] else None


def _quoted_at(masked: Sequence[str], at: int) -> tuple[int, str] | None:
    """`key="several words"`: to the word that ends with the quote."""
    token = masked[at]
    mark = token.find('="')
    if mark < 1 or token.rstrip(",;)]}").endswith('"', mark + 2):
        return None
    for end in range(at, len(masked)):
        if end > at and (bare := masked[end].rstrip(",;)]}")).endswith('"'):
            return end + 1, f"{token[: mark + 2]}{WILDCARD}{masked[end][len(bare) - 1 :]}"
    return None


def _list_at(masked: Sequence[str], at: int) -> tuple[int, str] | None:
    """`['<*>', '<*>', '<*>']`: as many values as there are."""
    first = _LIST_FIRST.fullmatch(masked[at]) if masked[at].endswith(",") else None
    if first is None:
        return None
    end = at + 1
    while end < len(masked) and _LIST_NEXT.fullmatch(masked[end]):
        end += 1
    last = _LIST_LAST.fullmatch(masked[end]) if end < len(masked) else None
    return (end + 1, f"{first[1]}{WILDCARD}{last[1]}") if last else None


def _run_at(masked: Sequence[str], at: int) -> tuple[int, str]:
    """Values side by side, which are as many as they like; punctuation may follow the last."""
    if masked[at] != WILDCARD:
        return at + 1, masked[at]
    end = at + 1
    while end < len(masked) and masked[end] == WILDCARD:
        end += 1
    if end < len(masked) and masked[end].startswith(WILDCARD) and masked[end].strip(CLOSING) == "*":
        return end + 1, masked[end]
    return end, WILDCARD
