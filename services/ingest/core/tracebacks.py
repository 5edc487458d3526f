"""Stack traces in folded lines and in records: where they begin, what was raised, and where.

Python's, and those of the Java family (Java, JavaScript, .NET: `at` lines below what was raised) and of Go. What is
named is what was raised in the end: of a chain in Python the last traceback, in Java the first exception.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

BEGINNING = "Traceback (most recent call last):"
MAX_TRACEBACK_CHARS = 16_384
#: Of a longer one, this much of its beginning is kept; the rest of the room is for its end, where the cause is.
_KEPT_HEAD_CHARS = 4_096
_CUT = "\n[..]\n"
#: loguru marks the frame that caught it.
_FRAME = re.compile(r'(?:> |\s*)File "([^"\n]{1,1024})", line (\d{1,9}), in (.{1,256})')
_RAISED = re.compile(r"(?P<type>[A-Za-z_][\w.$]{0,255})(?::(?: (?P<message>.*))?)?\s*$", re.DOTALL)
_PREFIX = re.compile(r'Exception in thread "[^"\n]{0,255}" |Unhandled exception\. |Uncaught ')
_CLASS = re.compile(rf"(?:{_PREFIX.pattern})?[A-Za-z_][\w.$]{{0,255}}(?:Exception|Error|Throwable|Failure)(?::|\s*$)")
_AT = re.compile(r"\s{1,16}at \S")
#: `at com.example.Foo.bar(Foo.java:12)`, `at bar (/app/foo.js:3:9)`, `at Foo.Bar(String s) in /src/Foo.cs:line 3`.
_AT_FRAME = re.compile(
    r"\s{1,16}at (?:async )?(?:(?P<net>[^\n]{1,512}?) in (?P<file>[^\n]{1,512}):line (?P<line>\d{1,9})"
    r"|(?P<function>[^()\n]{1,512}?) ?\((?P<place>[^()\n]{1,512})\)|(?P<bare>\S{1,512}))"
)
_GO_ROUTINE = re.compile(r"goroutine \d{1,9} \[[^\]\n]{1,64}\]:")
_GO_FILE = re.compile(r"\s{1,8}(?P<place>\S{1,512}\.(?:go|s):\d{1,9})")
_GO_FUNCTION = re.compile(r"(?:created by )?[\w./*()\-$\[\]{}, ]{1,512}")
#: Frames of Go that every panic has.
_GO_OWN = ("panic(", "runtime.", "runtime/debug.")
#: How a trace of Java begins: a class with its package.
_JAVA = r"Exception in thread \"|[a-z][\w$]{0,63}(?:\.[\w$]{1,64}){1,12}(?:Exception|Error)\b"
_BEGINS_JAVA = re.compile(_JAVA)
#: How a trace begins that no line with a header announces, or its frames where what was raised stands apart.
_ALONE = re.compile(
    rf"Traceback \(most recent call last\):\s*$|panic: |fatal error: |{_JAVA}"
    r"|[A-Z][A-Za-z]{0,63}(?:Exception|Error)(?:: |\s*$)|\s{1,16}at \S[^\n]{0,512}\)\s*$"
)
#: Lines that what was raised in Java may have before its first frame.
_MAX_MESSAGE_LINES = 3
_CHAIN = (
    "Caused by:", "Suppressed:", "During handling of the above", "The above exception was", BEGINNING, "goroutine ",
    "created by ", "[signal ", "exit status ",
)  # fmt: skip


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
    for index, line in enumerate(lines[1:], 1):
        if _AT.match(line):
            index = _raised_above(lines, index)
            return lines[: max(1, index)], lines[index:]
    for index, line in enumerate(lines):
        if len(lines) > 1 and (line.startswith("panic: ") or _GO_ROUTINE.match(line)):
            return lines[: max(1, index)], lines[index:]
    return lines, ()


def describe(lines: Sequence[str]) -> Raised:
    """What finally was raised. Empty strings for what the lines do not say."""
    if any(line.strip() == BEGINNING for line in lines):
        return _describe_python(lines)
    if any(_AT.match(line) for line in lines):
        return _describe_at(lines)
    if any(_GO_FILE.match(line) for line in lines):
        return _describe_go(lines)
    return _describe_python(lines)


def _describe_python(lines: Sequence[str]) -> Raised:
    """The last traceback of a chain."""
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


def _describe_at(lines: Sequence[str]) -> Raised:
    """The first exception: its class stands above the first `at`."""
    first = next(index for index, line in enumerate(lines) if _AT.match(line))
    frame = _at_frame(lines[first])
    if first == 0:
        return Raised("", "", frame)
    found = _RAISED.match(_PREFIX.sub("", lines[_raised_above(lines, first)].strip(), count=1))
    return Raised(found["type"], (found["message"] or "").strip(), frame) if found else Raised("", "", frame)


def _raised_above(lines: Sequence[str], first: int) -> int:
    """Where what was raised stands above its first frame: some lines up when its message has several."""
    for index in range(first - 1, max(-1, first - 2 - _MAX_MESSAGE_LINES), -1):
        if _CLASS.match(lines[index]):
            return index
    return first - 1


def _at_frame(line: str) -> str:
    found = _AT_FRAME.match(line)
    if found is None:
        return ""
    if found["net"]:
        return f"{found['file']}:{found['line']} {found['net']}"
    return f"{found['place']} {found['function']}" if found["place"] else found["bare"]


def _describe_go(lines: Sequence[str]) -> Raised:
    """A panic with the first frame that is not the runtime's; a bare stack names no class."""
    message = next((line.removeprefix("panic: ").strip() for line in lines if line.startswith("panic: ")), None)
    frame = ""
    for function, line in pairwise(lines):
        found = _GO_FILE.match(line)
        if found and not function.startswith(_GO_OWN):
            frame = f"{found['place']} {_go_function(function)}"
            break
    return Raised("" if message is None else "panic", message or "", frame)


def _go_function(line: str) -> str:
    """`main.(*T).f(0x1, ..)` is main.(*T).f: the last bracket holds arguments."""
    text = line.strip()
    return text[: text.rindex("(")] if text.endswith(")") and "(" in text else text


def is_in_progress(lines: Sequence[str]) -> bool:
    """True when lines hold a traceback whose last line that is not blank is not what was raised."""
    if not any(BEGINNING in line for line in lines):
        return False
    last = next((line for line in reversed(lines) if line.strip()), "")
    return not (_is_raised(last) and _RAISED.match(last))


def begins_alone(line: str) -> bool:
    """True for the first line of a trace that nothing announced, as a program prints it that dies."""
    return _ALONE.match(line) is not None


def goes_on(lines: Sequence[str], line: str) -> bool:
    """Whether a line without a header is still of the trace; other text of its program is not.

    Args:
        lines: the trace's first line, and its last few.
    """
    if not line.strip() or line[0].isspace() or line.startswith(_CHAIN):
        return True
    last = next((each for each in reversed(lines) if each.strip()), "")
    if _GO_ROUTINE.match(last) or _GO_FILE.match(last):
        return line.endswith((")", "]:")) and _GO_FUNCTION.fullmatch(line) is not None
    if _AT.match(last) or last.lstrip().startswith("... "):
        return False
    if line.startswith("> File "):
        return True
    if len(lines) <= _MAX_MESSAGE_LINES and _BEGINS_JAVA.match(lines[0]) and not any(map(_AT.match, lines)):
        return True
    return last[:1].isspace()  # below Python's frames: what was raised


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
