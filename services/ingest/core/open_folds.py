"""The open folds of one partition: in memory while it is ours, saved in its state between batches."""

from collections.abc import Iterator

import msgspec

from services.common.broker.abstract import TopicPartition
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState
from services.ingest.core.folding import Fold, SourceFolds
from services.ingest.core.lines import Limits, Origin
from services.ingest.core.pieces import Joined, Partial, taken
from services.ingest.core.requests import STATE_PREFIX

#: Version of what is saved per source: `SourceFolds` in MessagePack.
STATE_VERSION = 2
#: Characters of an open fold, or of a cut line, of which there may be `max_open_folds`.
USUAL_CHARS = 4096
#: Earlier ones that this program reads: 1 had no cut lines, no streams and no named exceptions, which are last.
_READ_VERSIONS = (1, STATE_VERSION)


class OpenFolds:
    """The open folds of one partition, with its saved state. A source is in `sources` while it has open folds, or a cut
    line."""

    def __init__(self, partition: TopicPartition, state: PartitionState) -> None:
        self.partition = partition
        self.state = state
        self.sources: dict[str, SourceFolds] = {}
        self.changed: dict[str, None] = {}
        self._of_batch: dict[Origin, SourceFolds] = {}
        for key, saved in state.items():
            if not key.startswith(STATE_PREFIX):
                self.sources[key] = _decode(key, saved.version, saved.payload)

    def of(self, origin: Origin) -> SourceFolds:
        """The folds of a line's source, which are saved at the end of the batch."""
        found = self._of_batch.get(origin)
        if found is None:
            key = origin.fold_key
            found = self._of_batch[origin] = self.sources.setdefault(key, SourceFolds(origin))
            self.changed[key] = None
        return found

    def save(self) -> None:
        """Puts every changed source once."""
        for key in self.changed:
            source = self.sources[key]
            if source.folds or source.partial is not None:
                self.state.put(key, _ENCODER.encode(source), STATE_VERSION)
            else:
                self.state.delete(key)
                del self.sources[key]
        self.changed.clear()
        self._of_batch.clear()

    def overflow(self, most: int) -> list[tuple[Origin, Fold]]:
        """Takes out what was written longest ago when more than `most` folds are open, or as much as so many of usual
        size hold; a tenth more than needed."""
        opened = [(fold.offsets[-1], fold.source_index, key, process, fold.num_chars)
                  for key, source in self.sources.items() for process, fold in source.folds.items()]  # fmt: skip
        opened.sort()
        oldest = opened[: _num_over([chars for *_, chars in opened], most)]
        self.changed.update((key, None) for _, _, key, _, _ in oldest)
        return [(self.sources[key].origin, self.sources[key].folds.pop(process)) for _, _, key, process, _ in oldest]

    def idle_partials(self, now: int, limits: Limits) -> list[Joined]:
        """Takes out the cut lines whose rest has not come for long enough."""
        found = []
        for key, source in self.sources.items():
            if source.partial is not None and (joined := source.take_idle_partial(now, limits)) is not None:
                self.changed[key] = None
                found.append(joined)
        return found

    def overflowing_partials(self, most: int) -> list[Joined]:
        """Takes out the cut lines that were written longest ago when they are more than `most`, or as large."""
        cut = [(partial.offsets[-1], key, partial) for key, partial in self._partials()]
        cut.sort(key=lambda each: each[:2])
        found = []
        for _, key, partial in cut[: _num_over([len(partial.text) for _, _, partial in cut], most)]:
            source = self.sources[key]
            source.partial = None
            self.changed[key] = None
            found.append(taken(partial, source.origin))
        return found

    def _partials(self) -> Iterator[tuple[str, Partial]]:
        return ((key, source.partial) for key, source in self.sources.items() if source.partial is not None)


def _num_over(sizes: list[int], most: int) -> int:
    """How many of the first must go so that neither their number nor their characters are too many; 0 when they are
    not, else a tenth more than needed."""
    spare = most - most // 10
    number = len(sizes) - spare if len(sizes) > most else 0
    num_chars = sum(sizes)
    if num_chars > most * USUAL_CHARS:
        left = num_chars - sum(sizes[:number])
        while left > spare * USUAL_CHARS:
            left -= sizes[number]
            number += 1
    return number


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SourceFolds)


def _decode(key: str, version: int, payload: bytes) -> SourceFolds:
    if version not in _READ_VERSIONS:
        raise ArtifactMismatch(
            f"ingest's saved state of {key!r} has version {version}, this program reads up to {STATE_VERSION}: "
            "run the version that wrote it until its sources are silent, or start with an empty state topic"
        )
    return _DECODER.decode(payload)
