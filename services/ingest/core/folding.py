"""Folding: which lines make one event. A pure state machine; one `SourceFolds` per source.

A header line opens an event of its (source, process). It goes on with
- lines that repeat its header (same time as written, same process and logger, same level or ERROR) without a request
  block: oslo.log prints tracebacks so, with ERROR in the prefix whatever the level of the first line was;
- lines without a header, which belong to the process that wrote last in this source.
A stack trace that no header announces opens an event by itself, and ends where other text begins.
It is closed by any other line of the same process, by a line of the source whose time is `max_seconds` later, by its
size (the rest becomes another event with the same header, so that nothing is lost), and by `close_idle`.
Events keep their order per source and process. A line without header and without an open fold is an event of its own.
"""

import msgspec

from services.ingest.core.lines import Limits, Origin, ParsedLine, RawLine
from services.ingest.core.pieces import Joined, Partial, join, taken
from services.ingest.core.secrets import MASK, closes_key, is_key_rest, opens_key
from services.ingest.core.tracebacks import begins_alone, goes_on, is_in_progress

#: Of lines that carry no process id.
NO_PROCESS = -1
MICROS = 1_000_000
#: In place of the offset of a line that came in pieces, until its fold is known.
_JOINED = -1
#: So many lines tell whether a stack trace goes on: blank ones may lie between.
_LOOK_BACK = 3


class Fold(msgspec.Struct, array_like=True, gc=False):
    """An event that is being put together. Saved between batches.

    Attributes:
        head: its first line; `lines`: what followed, without repeated headers.
        offsets: of the raw records it is made of, ascending.
        source_index: the event's place among those of its first record.
        ingest_time, written_at: wall time of its first and of its last line, microseconds.
    """

    head: ParsedLine
    offsets: list[int]
    source_index: int
    ingest_time: int
    written_at: int
    line_count: int = 1
    num_chars: int = 0
    lines: list[str] = []
    is_in_key: bool = False


class SourceFolds(msgspec.Struct, array_like=True):
    """The open folds of one source, by process, the one that wrote last at the end; and the line that is cut."""

    origin: Origin
    folds: dict[int, Fold] = {}
    partial: Partial | None = None

    def feed(self, line: ParsedLine, offset: int, index: int, now: int, limits: Limits, closed: list[Fold]) -> bool:
        """Takes a line; appends the folds that it closes, oldest first, to `closed`.

        Args:
            offset: of the record that held the line.
            index: the place that an event beginning with this line has among those of its record.
            now: wall time, microseconds.

        Returns:
            True when an event begins with this line.
        """
        folds = self.folds
        if not line.has_header:
            return self._take_text(line, offset, index, now, limits, closed)
        process = NO_PROCESS if line.process_id is None else line.process_id
        is_in_key = False
        fold = folds.get(process)
        if fold is not None:
            if _repeats(fold.head, line):
                return self._continue(process, line, offset, index, now, limits, closed)
            del folds[process]
            closed.append(fold)
            if fold.is_in_key:
                line, is_in_key = _in_key(line)
        if folds:
            self._close_overdue(line, limits, closed)
        begun = _begin(line, offset, index, now)
        if is_in_key:
            begun.is_in_key = True
        if line.is_held and begun.num_chars < limits.max_chars:
            folds[process] = begun
            if len(folds) > 1:
                self._bound(limits, closed)
        else:
            closed.append(begun)
        return True

    def _take_text(
        self, line: ParsedLine, offset: int, index: int, now: int, limits: Limits, closed: list[Fold]
    ) -> bool:
        """A line without a header goes on with what was written last, or is an event of its own."""
        while self.folds:
            process = next(reversed(self.folds))
            fold = self.folds[process]
            if (
                fold.head.has_header
                or fold.is_in_key
                or goes_on([fold.head.body, *fold.lines[-_LOOK_BACK:]], line.body)
            ):
                return self._continue(process, line, offset, index, now, limits, closed)
            closed.append(self.folds.pop(process))
        begun = _begin(line, offset, index, now)
        if (begun.is_in_key or begins_alone(line.body)) and begun.num_chars < limits.max_chars:
            self.folds[NO_PROCESS] = begun
        else:
            closed.append(begun)
        return True

    def join(self, piece: RawLine, offset: int, index: int, now: int, limits: Limits) -> list[Joined]:
        """Takes a piece of a line that was cut; the lines that are whole now."""
        self.partial, whole = join(self.partial, piece, offset, index, now, limits)
        return whole

    def take_idle_partial(self, now: int, limits: Limits) -> Joined | None:
        """A cut line whose rest has not come for long enough."""
        if self.partial is None or now < self.partial.written_at + limits.traceback_idle_micros:
            return None
        joined = taken(self.partial, self.origin)
        self.partial = None
        return joined

    def feed_joined(self, line: ParsedLine, joined: Joined, now: int, limits: Limits, closed: list[Fold]) -> None:
        """Takes a line that came in pieces: its event names all their records and counts all of them."""
        self.feed(line, _JOINED, joined.source_index, now, limits, closed)
        fold = next(fold for fold in (*closed, *self.folds.values()) if fold.offsets[-1] == _JOINED)
        fold.line_count += joined.num_pieces - 1
        others = [offset for offset in fold.offsets if offset != _JOINED]
        if others and joined.offsets[0] < others[0]:
            fold.source_index = joined.source_index
        fold.offsets = sorted({*others, *joined.offsets})

    def close_idle(self, now: int, limits: Limits) -> list[Fold]:
        """Takes out the folds that have been silent for long enough, oldest first."""
        due = [
            process
            for process, fold in self.folds.items()
            if now >= fold.written_at + limits.idle_micros and now >= due_at(fold, limits)
        ]
        return [self.folds.pop(process) for process in due]

    def _continue(
        self, process: int, line: ParsedLine, offset: int, index: int, now: int, limits: Limits, closed: list[Fold]
    ) -> bool:
        fold = self.folds.pop(process)  # and to the end: it wrote last
        size = len(line.body)
        if fold.line_count < limits.max_lines and fold.num_chars + size <= limits.max_chars:
            self.folds[process] = fold
            _append(fold, line.body, offset, now)
            if len(self.folds) > 1:
                self._bound(limits, closed)
            return False
        closed.append(fold)
        is_in_key = fold.is_in_key and not closes_key(line.body)
        if fold.is_in_key:
            line = _hidden(line)
        rest = _begin(_with_header_of(fold.head, line), offset, index, now)
        rest.is_in_key |= is_in_key
        if size < limits.max_chars:
            self.folds[process] = rest
        else:
            closed.append(rest)
        return True

    def _close_overdue(self, line: ParsedLine, limits: Limits, closed: list[Fold]) -> None:
        horizon = line.event_time - limits.max_seconds * MICROS
        for process in [process for process, fold in self.folds.items() if fold.head.event_time < horizon]:
            closed.append(self.folds.pop(process))

    def _bound(self, limits: Limits, closed: list[Fold]) -> None:
        """Keeps the saved state of a source small: what was written longest ago goes first."""
        while len(self.folds) > 1 and sum(fold.num_chars for fold in self.folds.values()) > limits.max_chars:
            closed.append(self.folds.pop(next(iter(self.folds))))


def due_at(fold: Fold, limits: Limits) -> int:
    """The wall time, microseconds, from which a silent fold is closed."""
    in_progress = fold.is_in_key or (fold.lines and is_in_progress([fold.head.body, *fold.lines]))
    return fold.written_at + (limits.traceback_idle_micros if in_progress else limits.idle_micros)


def _begin(line: ParsedLine, offset: int, index: int, now: int) -> Fold:
    body = line.body
    is_in_key = body[-3:] == MASK and opens_key(body)
    return Fold(line, [offset], index, now, now, 1, len(line.text) + len(body), [], is_in_key)


def _in_key(line: ParsedLine) -> tuple[ParsedLine, bool]:
    """A line with a header, next after one within a private key: hidden if it may go on with it. Does the key go on?"""
    if closes_key(line.body) or not is_key_rest(line.body):
        return line, False
    return _hidden(line), True


def _hidden(line: ParsedLine) -> ParsedLine:
    return msgspec.structs.replace(line, text=line.text.removesuffix(line.body) + MASK, body=MASK)


def _repeats(head: ParsedLine, line: ParsedLine) -> bool:
    return (
        not line.has_context
        and line.stamp == head.stamp
        and line.logger == head.logger
        and (line.severity_text == head.severity_text or line.severity_text == "ERROR")
        and line.stamp != ""
    )


def _append(fold: Fold, body: str, offset: int, now: int) -> None:
    if fold.is_in_key:
        fold.is_in_key = not closes_key(body)
        body = MASK
    elif opens_key(body):
        fold.is_in_key = True
    fold.lines.append(body)
    fold.line_count += 1
    fold.num_chars += len(body)
    fold.written_at = now
    if fold.offsets[-1] != offset:
        fold.offsets.append(offset)


def _with_header_of(head: ParsedLine, line: ParsedLine) -> ParsedLine:
    """The line as the first one of what a full fold goes on with."""
    if line.has_header:
        return line
    return msgspec.structs.replace(head, text=line.text, body=line.body, has_context=False)
