"""A million random and mutated messages through ingest: no crash, none without a trace, none that hangs, flat memory.

`MOSELLE_FUZZ_MESSAGES` and `MOSELLE_FUZZ_SEED` choose how many and which; the slowest messages are printed in hex with
their CPU milliseconds, so that they can be sent again. Messages of a batch that took long are measured
one by one: CPU seconds of this thread, the least of three tries, so that other work on the machine is no finding.
"""

import gc
import json
import os
import time
from typing import NamedTuple

import psutil
import pytest

from services.common.memory import give_back_memory
from services.ingest.core.payload import read_text
from tests.fuzzing import Findings, Fuzzer, metric_messages
from tests.mutations import Message, Mutator

NUM_MESSAGES = int(os.environ.get("MOSELLE_FUZZ_MESSAGES", "1000000"))
SEED = int(os.environ.get("MOSELLE_FUZZ_SEED", "5"))
BATCH, FLUSH_EVERY, REPORT_EVERY = 20, 1000, 100_000
#: What one message may cost, and what makes a message long: it may cost as much for each of these, once unpacked.
MAX_SECONDS, MANY_LINES, MANY_BYTES = 0.05, 500, 32_768
#: Messages of less are of no interest.
DULL_SECONDS = 0.015
MAX_EXPANDED = 16 * 2**20
NUM_SHOWN = 10
#: What memory may be at the end, and its growth over the second half, as a share.
MAX_RESIDENT_BYTES, MAX_GROWTH = 400 * 2**20, 0.05


class Cost(NamedTuple):
    """What a message cost; `relative` is by how many times 500 lines or 32 KiB it has, once unpacked."""

    relative: float
    seconds: float
    num_lines: int
    num_chars: int
    number: int
    message: Message

    def __str__(self) -> str:
        size = f"{len(self.message.value):>8} B {self.num_chars:>9} chars {self.num_lines:>6} lines"
        return f"{self.seconds * 1000:7.1f} ms {self.relative * 1000:6.1f} relative {size}  message {self.number}"


class Slowest:
    """The slowest messages, by themselves and relative to their size, for each decoder."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Cost]] = {}
        self.too_slow: list[Cost] = []

    def take(self, decoder: str, cost: Cost) -> None:
        best = self._found.setdefault(decoder, {})
        for name in ("relative", "seconds"):
            if name not in best or getattr(cost, name) > getattr(best[name], name):
                best[name] = cost
        if cost.relative > MAX_SECONDS:
            self.too_slow.append(cost)

    def show(self) -> None:
        for decoder, best in sorted(self._found.items()):
            for cost in dict.fromkeys(best.values()):
                print(f"{decoder:>28} {cost}, {cost.message.kind}: {cost.message.value[:60]!r}")
        for cost in self.too_slow[:NUM_SHOWN]:
            print(f"TOO SLOW {cost}, {cost.message.kind}: {cost.message.value[:4096].hex()}")


def cost_of(fuzzer: Fuzzer, number: int, message: Message) -> Cost:
    """The least of three tries, when the first was long enough to be of interest."""
    seconds = fuzzer.cost(message)
    if seconds > DULL_SECONDS:
        seconds = min(seconds, fuzzer.cost(message), fuzzer.cost(message))
    num_lines, num_chars = size_of(message)
    return Cost(seconds / max(1.0, num_lines / MANY_LINES, num_chars / MANY_BYTES), seconds, num_lines, num_chars,
                number, message)  # fmt: skip


def size_of(message: Message) -> tuple[int, int]:
    """Lines and characters, unpacked; what cannot be unpacked was unpacked up to the limit."""
    try:
        text = read_text(message.value, MAX_EXPANDED)
    except Exception as error:
        return 0, MAX_EXPANDED if "too_large" in str(error) else len(message.value)
    return text.count("\n") + text.count("\\n"), len(text)


def report(findings: Findings, memory: list[int], seconds: float) -> None:
    print(json.dumps({
        "messages": findings.num_messages, "seed": SEED, "megabytes": findings.num_bytes // 10**6,
        "seconds": round(seconds), "events": findings.num_events, "samples": findings.num_samples,
        "dead_letters": sum(findings.reasons.values()), "dropped": findings.num_dropped,
        "missing": len(findings.missing), "defects": len(findings.defects),
        "rss_mib": [number // 2**20 for number in memory],
        "reasons": dict(findings.reasons.most_common()), "events_by_shape": dict(findings.shapes.most_common()),
        "metric_messages_by_shape": metric_messages(),
    }, indent=1))  # fmt: skip


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_a_million_mutated_messages() -> None:
    """Each yields events, samples or a dead letter with its reason, within its time."""
    mutator, fuzzer, process, slowest = Mutator(SEED), Fuzzer(), psutil.Process(), Slowest()
    memory: list[int] = []
    began = time.monotonic()
    give_back_memory()
    gc.collect()
    gc.freeze()
    gc.disable()
    for number in range(BATCH, NUM_MESSAGES + 1, BATCH):
        batch = [mutator.message() for _ in range(BATCH)]
        if fuzzer.send(*batch) > MAX_SECONDS:
            for at, message in enumerate(batch):
                cost = cost_of(fuzzer, number - BATCH + at, message)
                if cost.seconds > DULL_SECONDS:
                    slowest.take(fuzzer.decoder(message), cost)
        if number % FLUSH_EVERY == 0:
            fuzzer.flush()
            gc.collect()
        if number % REPORT_EVERY == 0:
            memory.append(process.memory_info().rss)
            events = fuzzer.findings.num_events
            print(
                f"{number} messages, {events} events, {time.monotonic() - began:.0f} s, {memory[-1] >> 20} MiB",
                flush=True,
            )
    fuzzer.flush()
    gc.enable()
    report(fuzzer.findings, memory, time.monotonic() - began)
    slowest.show()
    for detail, message in fuzzer.findings.defects[:NUM_SHOWN]:
        print(f"DEFECT {detail}, {message.kind}: {message.value[:4096].hex()}")
    for message in fuzzer.findings.missing[:NUM_SHOWN]:
        print(f"NO TRACE, {message.kind}: {message.value[:4096].hex()}")
    assert (fuzzer.findings.missing, fuzzer.findings.defects, slowest.too_slow) == ([], [], [])
    assert not memory or memory[-1] < MAX_RESIDENT_BYTES
    assert len(memory) < 10 or memory[-1] < memory[len(memory) // 2] * (1 + MAX_GROWTH)
