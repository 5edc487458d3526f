"""Past alerts, and which of them are like one that fires now."""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.common.errors import ArtifactMismatch

STATE_VERSION = 1
#: Alerts remembered of one program, and programs; of more the oldest go.
MAX_ALERTS, MAX_PROGRAMS = 32, 256
#: Signals by which an alert is known: those with the largest shares.
MAX_SIGNALS = 8
#: Less alike than this is another trouble.
LEAST_ALIKE = 0.5


class Signature(msgspec.Struct, array_like=True, frozen=True):
    """What a resolved alert is known by; times in microseconds UTC.

    Attributes:
        shares: by kind of signal and direction (`latency+`, `processes-`), its part; together 1.
    """

    alert_id: str
    entity_id: str
    starts_at: int
    ends_at: int
    shares: dict[str, float]


class Like(msgspec.Struct, frozen=True):
    """A past alert that is like the one asked for; `alike` in [0, 1], `verdict` empty while nobody said a word."""

    alert_id: str
    entity_id: str
    starts_at: int
    ends_at: int
    alike: float
    verdict: str = ""

    def label(self) -> str:
        """`alert_id=0.93@starts_at`, and the verdict behind it where there is one."""
        return f"{self.alert_id}={self.alike:.2f}@{self.starts_at}" + (f":{self.verdict}" if self.verdict else "")


def signature_shares(shares: Mapping[str, float], is_high: Mapping[str, bool]) -> dict[str, float]:
    """What an alert is known by, from its signals' shares.

    A signal counts by its kind: of `disk_busy|sda` what stands before the bar, so that another disk is the same
    trouble. Shares that are not above 0 are left out.
    """
    kinds: dict[str, float] = {}
    for key, share in shares.items():
        if share > 0 and math.isfinite(share):
            kind = key.partition("|")[0] + ("+" if is_high.get(key, True) else "-")
            kinds[kind] = kinds.get(kind, 0.0) + share
    largest = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:MAX_SIGNALS]
    total = sum(share for _, share in largest)
    return {kind: share / total for kind, share in largest}


def alike(one: Mapping[str, float], two: Mapping[str, float]) -> float:
    """Weighted Jaccard: the sum of the lesser shares by the sum of the greater ones; 0 where nothing is common."""
    kinds = {*one, *two}
    both = sum(min(one.get(kind, 0.0), two.get(kind, 0.0)) for kind in kinds)
    either = sum(max(one.get(kind, 0.0), two.get(kind, 0.0)) for kind in kinds)
    return both / either if either > 0 else 0.0


class PastAlerts:
    """The last alerts of each program (of entities without one, of their kind: `host`), bounded.

    Alerts are compared within a program, so that what happened to nova-api on one host is known on the next.
    """

    def __init__(self) -> None:
        self._by_program: dict[str, list[Signature]] = {}

    def remember(self, program: str, signature: Signature) -> str:
        """Takes in a resolved alert; the same alert again replaces itself.

        Returns:
            The program that was forgotten for it; empty for none.
        """
        if not signature.shares:
            return ""
        held = [each for each in self._by_program.pop(program, []) if each.alert_id != signature.alert_id]
        self._by_program[program] = [*held, signature][-MAX_ALERTS:]
        if len(self._by_program) <= MAX_PROGRAMS:
            return ""
        oldest = next(iter(self._by_program))
        del self._by_program[oldest]
        return oldest

    def similar(self, program: str, shares: Mapping[str, float], entity_id: str = "", num: int = 3) -> list[Like]:
        """The past alerts most like these shares, LEAST_ALIKE at least, the most alike first.

        Of equally alike ones the entity's own come first, then the latest.
        """
        rated = [(alike(shares, each.shares), each) for each in self._by_program.get(program, ())]
        rated = [(degree, each) for degree, each in rated if degree >= LEAST_ALIKE]
        rated.sort(key=lambda pair: (-round(pair[0], 6), pair[1].entity_id != entity_id, -pair[1].starts_at))
        return [
            Like(each.alert_id, each.entity_id, each.starts_at, each.ends_at, degree) for degree, each in rated[:num]
        ]

    def alert_ids(self, program: str) -> Iterable[str]:
        """Of all that is remembered of a program, oldest first."""
        return [each.alert_id for each in self._by_program.get(program, ())]

    def save(self, program: str) -> bytes:
        """What is remembered of one program, MessagePack of STATE_VERSION; a part changes only when an alert ends."""
        return _encoder.encode(self._by_program.get(program, []))

    def load(self, program: str, payload: bytes, version: int = STATE_VERSION) -> None:
        """Takes back what `save` gave.

        Raises:
            ArtifactMismatch: another version, or bytes that are no past alerts.
        """
        if version != STATE_VERSION:
            raise ArtifactMismatch(f"Past alerts were saved as version {version}, this program reads {STATE_VERSION}.")
        try:
            self._by_program[program] = _decoder.decode(payload)[-MAX_ALERTS:]
        except msgspec.MsgspecError as error:
            raise ArtifactMismatch(f"Past alerts of {program} cannot be read ({error}); delete their state.") from error


def label(found: Sequence[Like]) -> dict[str, str]:
    """The label `similar` of an alert; none when nothing is like it."""
    return {"similar": ";".join(each.label() for each in found)} if found else {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Signature])
