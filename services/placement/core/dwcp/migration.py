"""Moving a machine: the questions of orchestrator.go.

Rates and sizes in bytes. The rate of a migration is the smaller of what both nodes' networks carry by the inventory
(bandwidth_mbps), less what they are busy with, and of what the caller allows. `confidence` is the share of a formula's
inputs that somebody told or measured; an input that nobody knows is taken as the docstring says, and is listed in
`assumed`. It is 0 where the formula could not be used at all: then every number is 0, and the orchestrator keeps its
own.
"""

import math
from typing import Any

from msgspec import Struct, field

from services.placement.core.dwcp import precopy
from services.placement.core.dwcp.given import amount, dirty_rate, memory, size, text
from services.placement.core.dwcp.known import NETWORK, Known
from services.placement.core.dwcp.precopy import NO_COMPRESSION, PreCopy, pre_copy

#: How long NovaCron lets a whole memory take, seconds: migration_ai_fallback.go, PredictBandwidthRequirements.
_TARGET_SECONDS = 600.0
#: Bounds of a chunk, bytes: those of migration_ai_fallback.go.
_SMALLEST_CHUNK, _LARGEST_CHUNK = 256 * 1024, 4 * 1024 * 1024


class Evidence:
    """Which of a formula's inputs were known."""

    def __init__(self) -> None:
        self._known = 0
        self.assumed: list[str] = []

    def take(self, name: str, is_known: bool) -> bool:
        """Notes an input."""
        if is_known:
            self._known += 1
        else:
            self.assumed.append(name)
        return is_known

    @property
    def confidence(self) -> float:
        """Share of the inputs that were known."""
        return self._known / max(1, self._known + len(self.assumed))


def rate_between(
    known: Known, evidence: Evidence, source: str, destination: str, allowed: float | None = None
) -> float | None:
    """Bytes a second from one node to another; None when nobody says anything of either end."""
    found = [] if allowed is None or allowed == 0 else [allowed]
    for which, name in (("source_node", source), ("dest_node", destination)):
        free = free_rate(known, name)
        if evidence.take(which, free is not None) and free is not None:
            found.append(free)
    return min(found) if found and min(found) > 0 else None


def free_rate(known: Known, name: str) -> float | None:
    """Bytes a second that a node's network has free, as far as its use is known."""
    row = known.row(name)
    carries = None if row is None else known.bytes_per_second(row)
    if row is None or carries is None:
        return None
    return max(0.0, carries - (known.figure(row, NETWORK) or 0.0))


class TimeAsked(Struct):
    """How long from here to there."""

    source_node: str
    dest_node: str
    vm_size: str


class MigrationTime(Struct):
    """The answer, whole seconds: Go cuts fractions off."""

    duration_seconds: float = 0.0
    confidence: float = 0.0
    assumed: list[str] = field(default_factory=list)


def migration_time(known: Known, asked: TimeAsked) -> MigrationTime:
    """Pre-copy with a dirty rate of 0, since the question has none: the least that it takes. Confidence to 0.75."""
    evidence = Evidence()
    whole, is_exact = size(asked.vm_size)
    evidence.take("vm_size", is_exact)
    evidence.take("dirty_rate", False)
    rate = rate_between(known, evidence, asked.source_node, asked.dest_node)
    if whole is None or rate is None:
        return MigrationTime(assumed=evidence.assumed)
    seconds = math.ceil(pre_copy(whole, rate, 0.0).seconds)
    return MigrationTime(float(seconds), evidence.confidence, evidence.assumed)


class BandwidthAsked(Struct):
    """What a migration needs. Of the network's conditions nothing is known here but the word."""

    vm_size: str
    network_conditions: str = ""


class Bandwidth(Struct):
    """The answer, bytes a second."""

    bandwidth: float = 0.0
    confidence: float = 0.0
    assumed: list[str] = field(default_factory=list)


def bandwidth(known: Known, asked: BandwidthAsked) -> Bandwidth:
    """Size / 600 s, NovaCron's own aim, which nobody told: confidence at most 0.5."""
    evidence = Evidence()
    whole, is_exact = size(asked.vm_size)
    evidence.take("vm_size", is_exact)
    evidence.take("target_seconds", False)
    if whole is None:
        return Bandwidth(assumed=evidence.assumed)
    return Bandwidth(float(math.ceil(whole / _TARGET_SECONDS)), evidence.confidence, evidence.assumed)


class StrategyAsked(Struct):
    """How to move it."""

    vm_data: dict[str, Any] | None = None
    network_data: dict[str, Any] | None = None


class Strategy(Struct):
    """The answer; `type` is live, pre-copy, post-copy or cold; allocation in bytes a second."""

    type: str = "live"
    memory_iterations: float = 0.0
    compression_level: float = 0.0
    bandwidth_allocation: float = 0.0
    confidence: float = 0.0
    assumed: list[str] = field(default_factory=list)


def strategy(known: Known, asked: StrategyAsked) -> Strategy:
    """Pre-copy when it converges, post-copy when memory is rewritten as fast as it is sent, live when nobody knows.

    Post-copy: Hines, Deshpande, Gopalan, Post-Copy Live Migration of Virtual Machines, SIGOPS OSR 2009.
    """
    vm, network = asked.vm_data or {}, asked.network_data or {}
    evidence = Evidence()
    whole, is_exact = memory("vm_data", vm)
    rewritten = dirty_rate("vm_data", vm)
    evidence.take("memory_size", is_exact)
    evidence.take("dirty_rate", rewritten is not None)
    rate = rate_between(
        known,
        evidence,
        text(network, "source_node"),
        text(network, "destination_node", "dest_node"),
        amount("network_data", network, "bandwidth"),
    )
    if whole is None or rate is None:
        return Strategy(assumed=evidence.assumed)
    expected = pre_copy(whole, rate, rewritten or 0.0)
    return Strategy(
        _type(text(vm, "state"), rewritten is not None, expected),
        float(expected.rounds),
        float(precopy.compressor(rate).level),
        float(math.floor(rate)),
        evidence.confidence,
        evidence.assumed,
    )


def _type(state: str, is_rate_known: bool, expected: PreCopy) -> str:
    if state in ("stopped", "shutoff"):
        return "cold"
    if not is_rate_known:
        return "live"
    return "pre-copy" if expected.converges else "post-copy"


class CompressionAsked(Struct):
    """How to make it smaller."""

    data_profile: dict[str, Any] | None = None


class Compression(Struct):
    """The answer; `type` is none, lz4, zstd or gzip; a chunk in bytes."""

    type: str = "none"
    level: float = 0.0
    chunk_size: float = 1024.0 * 1024.0
    confidence: float = 0.0
    assumed: list[str] = field(default_factory=list)


def compression(known: Known, asked: CompressionAsked) -> Compression:
    """The strongest that keeps up with the link (precopy.COMPRESSORS); none for what is compressed already.

    A chunk is 1/1024 of the memory there is for it, within 256 KiB and 4 MiB.
    """
    given = asked.data_profile or {}
    evidence = Evidence()
    kind, rate = text(given, "type"), amount("data_profile", given, "bandwidth")
    room = amount("data_profile", given, "memory_available")
    evidence.take("type", bool(kind))
    evidence.take("bandwidth", bool(rate))
    evidence.take("memory_available", room is not None)
    is_packed = kind in ("media", "video", "compressed", "encrypted")
    if not rate and not is_packed:
        return Compression(assumed=evidence.assumed)
    chosen = NO_COMPRESSION if is_packed or not rate else precopy.compressor(rate)
    chunk = 1024.0 * 1024.0 if room is None else min(max(room // 1024, _SMALLEST_CHUNK), _LARGEST_CHUNK)
    return Compression(chosen.name, float(chosen.level), float(chunk), evidence.confidence, evidence.assumed)


class IterationsAsked(Struct):
    """How many rounds: wants memory_size, dirty_rate (or dirty_page_rate) and bandwidth."""

    vm_memory_pattern: dict[str, Any] | None = None


class Iterations(Struct):
    """The answer; 0 when the rounds cannot be told."""

    iterations: float = 0.0
    confidence: float = 0.0
    assumed: list[str] = field(default_factory=list)


def memory_iterations(known: Known, asked: IterationsAsked) -> Iterations:
    """The rounds of pre-copy until what is left takes no longer than 0.3 s."""
    given = asked.vm_memory_pattern or {}
    evidence = Evidence()
    whole, is_exact = memory("vm_memory_pattern", given)
    rewritten, rate = dirty_rate("vm_memory_pattern", given), amount("vm_memory_pattern", given, "bandwidth")
    evidence.take("memory_size", is_exact)
    evidence.take("dirty_rate", rewritten is not None)
    evidence.take("bandwidth", bool(rate))
    if whole is None or rewritten is None or not rate:
        return Iterations(assumed=evidence.assumed)
    return Iterations(float(pre_copy(whole, rate, rewritten).rounds), evidence.confidence, evidence.assumed)


class RiskAsked(Struct):
    """How likely it fails: wants source_node and destination_node, and memory where it is known."""

    migration_params: dict[str, Any] | None = None


class Risk(Struct):
    """The answer, 0..1. 0.5 with confidence 0 says that nothing is known."""

    risk: float = 0.5
    confidence: float = 0.0
    assumed: list[str] = field(default_factory=list)


def failure_risk(known: Known, asked: RiskAsked) -> Risk:
    """1 - health of the source x health of the destination; 1 when the destination has no room for the memory.

    Health is placement's own: 1 less what alerts take. An end that is no node here is taken as healthy.
    """
    given = asked.migration_params or {}
    evidence = Evidence()
    safe, rows = 1.0, []
    for names in (("source_node", "source_host"), ("destination_node", "dest_node", "target_host")):
        row = known.row(text(given, *names))
        evidence.take(names[0], row is not None)
        safe *= 1.0 if row is None else known.health(row)
        rows.append(row)
    if rows == [None, None]:
        return Risk(assumed=evidence.assumed)
    whole, _ = memory("migration_params", given)
    if rows[1] is not None and whole is not None and not _has_room(known, rows[1], whole):
        safe = 0.0
    return Risk(min(max(1.0 - safe, 0.0), 1.0), evidence.confidence, evidence.assumed)


def _has_room(known: Known, row: int, whole: float) -> bool:
    matrix = known.world.matrix
    return bool(matrix.capacity("memory_bytes")[row] - matrix.allocated("memory_bytes")[row] >= whole)
