"""Keyed state of one input partition, as a stage sees it.

What lives across records is put here; the kernel writes the changes to `<service>.state.v1` in the transaction that
holds the outputs and offsets of the same records, and reads them back when the partition is assigned.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Saved(NamedTuple):
    """A saved value: the version of its encoding, and its bytes. Never pickle."""

    version: int
    payload: bytes


class PartitionState:
    """The state of one (topic, partition): a map from string keys to versioned bytes.

    Not thread-safe. A value should stay well below 1 MB, the largest record that Kafka takes by default.
    """

    def __init__(self, saved: dict[str, Saved] | None = None) -> None:
        self._values = dict(saved or {})
        self._changed: set[str] = set()

    def get(self, key: str) -> Saved | None:
        """What was put last, or None."""
        return self._values.get(key)

    def put(self, key: str, payload: bytes, version: int = 1) -> None:
        """Keeps `payload` from the next commit on."""
        self._values[key] = Saved(version, payload)
        self._changed.add(key)

    def delete(self, key: str) -> None:
        """Forgets the key from the next commit on. A key that is not there is fine."""
        if self._values.pop(key, None) is not None:
            self._changed.add(key)

    def items(self) -> Iterator[tuple[str, Saved]]:
        """All keys with their values."""
        return iter(self._values.items())

    def __len__(self) -> int:
        return len(self._values)

    def take_changes(self) -> list[tuple[str, Saved | None]]:
        """The changes since the last call, sorted by key; None for a deleted key. For the kernel."""
        changes = [(key, self._values.get(key)) for key in sorted(self._changed)]
        self._changed.clear()
        return changes
