"""Parts of a detector's saved state: MessagePack of declared types, each with its version in front."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from services.common.errors import ArtifactMismatch

#: One for all detectors: a change of any of them is a new one.
PARTS_VERSION = 1
T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


def encode_part(value: Any) -> bytes:
    """(version, value) as MessagePack."""
    return _encoder.encode((PARTS_VERSION, value))


def decode_part(parts: Mapping[str, bytes], name: str, kind: type[T]) -> T:
    """What `encode_part` was given.

    Raises:
        ArtifactMismatch: the part is missing, of another version, or no such value.
    """
    if name not in parts:
        raise ArtifactMismatch(f"A detector's saved state lacks its part {name!r}; it holds {sorted(parts)}.")
    try:
        version, value = msgspec.msgpack.decode(parts[name], type=tuple[int, msgspec.Raw])
        if version != PARTS_VERSION:
            raise ArtifactMismatch(
                f"A detector was saved as version {version}, this program reads {PARTS_VERSION}: run the program that "
                "wrote it, or delete anomaly.state.v1 to learn anew."
            )
        return msgspec.msgpack.decode(value, type=kind)
    except msgspec.MsgspecError as error:
        raise ArtifactMismatch(f"A detector's saved part {name!r} cannot be read ({error}).") from error
