"""Python tracebacks in folded lines: where they begin, what was raised, and where."""

import re
from collections.abc import Sequence
from typing import NamedTuple

BEGINNING = "Traceback (most recent call last):"
MAX_TRACEBACK_CHARS = 16_384
#: Of a longer one, this much of its beginning is kept; the rest of the room is for its end, where the cause is.
_KEPT_HEAD_CHARS = 4_096
_CUT = "\n[..]\n"
_FRAME = re.compile(r'\s*File "([^"\n]{1,1024})", line (\d{1,9}), in (.{1,256})')
_RAISED = re.compile(r"(?P<type>[A-Za-z_][\w.]{0,255})(?::(?: (?P<message>.*))?)?\s*$", re.DOTALL)


class Raised(NamedTuple):
    """What a traceback says: class with module as printed, message, and `file:line function` of the innermost frame."""

    type: str
    message: str
    innermost_frame: str


def split_message(lines: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """(the message's lines, the traceback's lines); the second is empty when there is no traceback."""
    for index, line in enumerate(lines):
        if BEGINNING in line and line.strip() == BEGINNING:
            return lines[:index], lines[index:]
    return lines, ()


def describe(lines: Sequence[str]) -> Raised:
    """The last traceback of a chain, which is what finally was raised. Empty strings for what it does not say."""
    frame = ""
    raised = Raised("", "", "")
    for line in reversed(lines):
        if line.strip() == BEGINNING:
            break
        if not frame and (found := _FRAME.match(line)):
            frame = f"{found[1]}:{found[2]} {found[3].strip()}"
        elif not frame and _is_raised(line) and (found := _RAISED.match(line)):
            raised = Raised(found["type"], (found["message"] or "").strip(), "")  # the first one after the frames wins
    return raised._replace(innermost_frame=frame)


def is_in_progress(lines: Sequence[str]) -> bool:
    """True when lines hold a traceback whose last line that is not blank is not what was raised."""
    if not any(BEGINNING in line for line in lines):
        return False
    last = next((line for line in reversed(lines) if line.strip()), "")
    return not (_is_raised(last) and _RAISED.match(last))


def bounded(text: str) -> str:
    """A traceback of at most MAX_TRACEBACK_CHARS: its beginning and its end."""
    if len(text) <= MAX_TRACEBACK_CHARS:
        return text
    tail = MAX_TRACEBACK_CHARS - _KEPT_HEAD_CHARS - len(_CUT)
    return text[:_KEPT_HEAD_CHARS] + _CUT + text[-tail:]


def _is_raised(line: str) -> bool:
    """Neither blank nor indented nor a link of the chain nor the traceback's own first line."""
    if not line or line[0].isspace() or line.strip() == BEGINNING:
        return False
    return not line.startswith(("During handling of the above", "The above exception was"))
