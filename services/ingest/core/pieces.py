"""Lines that a container runtime cut into pieces: `P` parts are kept until the `F` part comes, by their order.

A part is kept masked, since it is saved. What a secret leaves at the end of a part is hidden with it, and what goes on
of it at the beginning of the next.
"""

import re
from typing import NamedTuple

import msgspec

from services.ingest.core.lines import Limits, Origin, RawLine
from services.ingest.core.secrets import MASK, mask

#: Looks of secrets that the end of a part may have cut: too short to be masked, or without the `@` that ends them.
_CUT_SECRET = re.compile(
    r"""(?:gAAAA[\w=%-]*+|(?<![\w-])eyJ[\w.-]*+|(?<![A-Za-z0-9])A[KS]IA[0-9A-Z]*+
  |(?P<user>://[^\s/:@"']{0,128}:)(?!\d{1,5}\Z)[^\s"'@]*+)\Z""",
    re.VERBOSE,
)
#: So much of what came before is masked once more with a further part: all of it would cost the square of its length.
_WINDOW_CHARS = 1024
#: So far from the end a secret may begin that is too short to be known as one.
_CUT_CHARS = 1024
#: A longer text is no time, and would be saved.
_MAX_TIME_CHARS = 64
_REST_OF_SECRET = re.compile(r"[\w.=%+/~-]*+")


class Partial(msgspec.Struct, array_like=True):
    """The beginning of a line that was cut. Saved between batches; fields as of `RawLine` and `Fold`.

    Attributes:
        piece_id: which line it is, where the runtime says so.
    """

    text: str
    shape: str
    record_time: str | int | float | None
    process_id: int | None
    attributes: dict[str, str] | None
    offsets: list[int]
    source_index: int
    num_pieces: int
    written_at: int
    piece_id: str = ""


class Joined(NamedTuple):
    """A whole line with the records that it came in; `num_pieces` raw lines."""

    line: RawLine
    offsets: list[int]
    source_index: int
    num_pieces: int


def join(
    partial: Partial | None, piece: RawLine, offset: int, index: int, now: int, limits: Limits
) -> tuple[Partial | None, list[Joined]]:
    """Takes a piece: what is still open, and the lines that are whole now.

    A line that outgrows `limits`, or whose end did not come before parts of another one, is let go; its rest is
    another line.

    Args:
        offset, index: of the record, and the place in it that an event beginning here has.
        now: wall time, microseconds.
    """
    whole: list[Joined] = []
    is_last = piece.piece[0] == "F"
    if partial is not None and not _goes_on(partial, piece, limits):
        whole.append(taken(partial, piece.origin))
        partial = None
    if partial is None:
        if is_last or len(piece.text) > limits.max_chars:
            return None, [*whole, Joined(piece._replace(piece=""), [offset], index, 1)]
        return _begun(piece, offset, index, now), whole
    _append(partial, piece.text, offset, now)
    return (None, [*whole, taken(partial, piece.origin)]) if is_last else (partial, whole)


def _goes_on(partial: Partial, piece: RawLine, limits: Limits) -> bool:
    has_room = len(partial.text) + len(piece.text) <= limits.max_chars and partial.num_pieces < limits.max_lines
    return has_room and partial.piece_id == piece.piece[1:]


def taken(partial: Partial, origin: Origin) -> Joined:
    """What there is of a line, as a line."""
    line = RawLine(
        partial.text, origin, partial.shape, partial.record_time, partial.process_id, None, partial.attributes
    )
    return Joined(line, partial.offsets, partial.source_index, partial.num_pieces)


def _begun(piece: RawLine, offset: int, index: int, now: int) -> Partial:
    time = piece.record_time if isinstance(piece.record_time, (str, int, float)) else None
    if isinstance(time, str) and len(time) > _MAX_TIME_CHARS:
        time = None
    text = _masked(piece.text)
    return Partial(
        text, piece.shape, time, piece.process_id, piece.attributes, [offset], index, 1, now, piece.piece[1:]
    )


def _append(partial: Partial, text: str, offset: int, now: int) -> None:
    if partial.text.endswith(MASK):
        text = _REST_OF_SECRET.sub("", text, count=1)
    tail = partial.text[-_WINDOW_CHARS:]
    partial.text = partial.text[: len(partial.text) - len(tail)] + _masked(tail + text)
    partial.num_pieces += 1
    partial.written_at = now
    if partial.offsets[-1] != offset:
        partial.offsets.append(offset)


def _masked(text: str) -> str:
    masked = mask(text)
    tail = masked[-_CUT_CHARS:]
    return masked[: len(masked) - len(tail)] + _CUT_SECRET.sub(lambda found: (found["user"] or "") + MASK, tail)
