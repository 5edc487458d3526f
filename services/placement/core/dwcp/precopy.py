"""How long a live migration takes: the model of iterative pre-copy.

With memory V bytes, rate R bytes/s and dirty rate D bytes/s, l = D / R: round i sends V l^i, so after n rounds the
machine stops to send V l^n. Time = V / R x (1 - l^(n+1)) / (1 - l), downtime = V l^n / R.

Source: Clark et al., Live Migration of Virtual Machines, NSDI 2005; Liu et al., Performance and Energy Modeling for
Live Migration of Virtual Machines, HPDC 2011. It does not know disks, nor compression, nor writable working sets that
are smaller than what D x time says: it errs towards longer.
"""

import math
from typing import NamedTuple

#: What a guest may stand still, seconds: QEMU's default downtime-limit.
DOWNTIME_SECONDS = 0.3
#: Rounds after which Xen stopped copying (Clark et al.); more gain nothing.
MOST_ROUNDS = 30


class PreCopy(NamedTuple):
    """What is expected.

    Attributes:
        converges: False when memory is rewritten as fast as it is sent; then the rounds are the most there are.
    """

    rounds: int
    seconds: float
    downtime_seconds: float
    converges: bool


def pre_copy(memory: float, rate: float, dirty_rate: float) -> PreCopy:
    """Of a workload with so many bytes of memory, at bytes a second.

    Args:
        rate: above 0.
    """
    ratio = dirty_rate / rate
    first = memory / rate
    if memory <= 0:
        return PreCopy(1, 0.0, 0.0, True)
    if ratio >= 1:
        return PreCopy(MOST_ROUNDS, first * (MOST_ROUNDS + 1), first, False)
    rounds = 1
    if ratio > 0 and first > DOWNTIME_SECONDS:
        rounds = math.ceil(math.log(DOWNTIME_SECONDS / first) / math.log(ratio))
    rounds = min(max(rounds, 1), MOST_ROUNDS)
    whole = first * (1 - ratio ** (rounds + 1)) / (1 - ratio)
    stopped = first * ratio**rounds
    return PreCopy(rounds, whole, stopped, stopped <= DOWNTIME_SECONDS * (1 + 1e-9))


class Compressor(NamedTuple):
    """One way to make memory smaller before it is sent; it pays while it gives more than the link takes."""

    name: str
    level: int
    bytes_per_second: float


#: Strongest first, with what one core compresses: the table published with LZ4 (lz4.org, Core i7-9700K).
COMPRESSORS = (
    Compressor("gzip", 6, 36e6),
    Compressor("gzip", 1, 100e6),
    Compressor("zstd", 1, 515e6),
    Compressor("lz4", 1, 780e6),
)
NO_COMPRESSION = Compressor("none", 0, math.inf)


def compressor(rate: float) -> Compressor:
    """The strongest that keeps up with a link of so many bytes a second."""
    return next((one for one in COMPRESSORS if one.bytes_per_second >= rate), NO_COMPRESSION)
