"""Requests of HTTP receivers that were handled lately, so that a sender's retry changes nothing.

A receiver that could not say whether Kafka took a request answers that it did not; the sender sends it again, and the
topic may hold it twice. Both have the same digest as their key, so they lie in one partition, whose state knows it.
"""

import hashlib

import msgspec

from services.common.broker.abstract import Headers
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState

#: The record header with the digest of a request's unpacked body.
REQUEST_HEADER = "moselle.request"
_DIGEST_BYTES = 16
#: Digests of one partition, and how long they are remembered by Kafka's time; what comes first ends it.
MAX_REQUESTS = 4096
MAX_AGE_MS = 3_600_000
#: Digests saved under one key: what one request costs in the state topic is at most this many.
_BLOCK = 64
#: Sources of lines have keys with `|`.
STATE_PREFIX = "requests/"
STATE_VERSION = 1


class _Block(msgspec.Struct, array_like=True):
    newest_ms: int
    digests: list[bytes]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Block)


def digest_of(body: bytes) -> bytes:
    """16 bytes."""
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()


def request_of(headers: Headers | None) -> bytes | None:
    """The digest that a record's headers name; None where a receiver did not write it, or nobody who makes digests."""
    found = next((value for name, value in headers if name == REQUEST_HEADER), None) if headers else None
    return found if found is not None and len(found) == _DIGEST_BYTES else None


class RecentRequests:
    """The digests of one partition.

    Raises:
        ArtifactMismatch: the saved state has another version.
    """

    def __init__(self, state: PartitionState) -> None:
        self._state = state
        self._blocks: dict[int, _Block] = {}
        for key, saved in sorted(state.items()):
            if key.startswith(STATE_PREFIX):
                if saved.version != STATE_VERSION:
                    raise ArtifactMismatch(
                        f"ingest's saved requests have version {saved.version}, this program reads {STATE_VERSION}: run"
                        " the version that wrote them, or start with an empty state topic"
                    )
                self._blocks[int(key.removeprefix(STATE_PREFIX))] = _DECODER.decode(saved.payload)
        self._known = {digest for block in self._blocks.values() for digest in block.digests}
        self._is_changed = False

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._known

    def remember(self, digest: bytes, millis: int) -> None:
        """From now on the digest is known."""
        number = max(self._blocks, default=0)
        block = self._blocks.get(number)
        if block is None or len(block.digests) >= _BLOCK:
            self._save_newest()
            number += 1
            block = self._blocks[number] = _Block(millis, [])
        block.digests.append(digest)
        block.newest_ms = max(block.newest_ms, millis)
        self._known.add(digest)
        self._is_changed = True
        self._forget(millis)

    def save(self) -> None:
        """Puts what has changed into the partition's state."""
        if self._is_changed:
            self._save_newest()

    def _save_newest(self) -> None:
        if self._is_changed:
            number = max(self._blocks)
            self._state.put(_key(number), _ENCODER.encode(self._blocks[number]), STATE_VERSION)
            self._is_changed = False

    def _forget(self, millis: int) -> None:
        """Drops whole blocks, oldest first: those too many, and those too old."""
        while len(self._blocks) > 1:
            oldest = min(self._blocks)
            is_old = self._blocks[oldest].newest_ms < millis - MAX_AGE_MS
            if not is_old and len(self._blocks) <= MAX_REQUESTS // _BLOCK:
                return
            self._known.difference_update(self._blocks.pop(oldest).digests)
            self._state.delete(_key(oldest))


def _key(number: int) -> str:
    return f"{STATE_PREFIX}{number:012d}"
