"""A million random and mutated messages through ingest: no crash, none without a trace, none that hangs, flat memory.

`MOSELLE_FUZZ_MESSAGES` and `MOSELLE_FUZZ_SEED` choose how many and which; the slowest messages are printed in hex with
their CPU milliseconds, so that they can be sent again. Messages of a batch that took longer than one may are measured
one by one: CPU seconds of this thread, the least of three tries, so that other work on the machine is no finding.
"""

import gc
import heapq
import json
import os
import time

import psutil
import pytest

from services.ingest.core.payload import read_text
from tests.fuzzing import Findings, Fuzzer
from tests.mutations import Message, Mutator

NUM_MESSAGES = int(os.environ.get("MOSELLE_FUZZ_MESSAGES", "1000000"))
SEED = int(os.environ.get("MOSELLE_FUZZ_SEED", "5"))
BATCH, FLUSH_EVERY, REPORT_EVERY = 20, 1000, 100_000
#: What one message may cost, and what makes a message long: it may cost as much for each of these, once unpacked.
MAX_SECONDS, MANY_LINES, MANY_BYTES = 0.05, 500, 32_768
MAX_EXPANDED = 16 * 2**20
NUM_SHOWN = 10
#: Growth of memory from the first report to the last.
MAX_GROWTH_BYTES = 150 * 2**20


def allowance(message: Message) -> float:
    """CPU seconds that a message may cost."""
    try:
        text = read_text(message.value, MAX_EXPANDED)
    except Exception:
        return MAX_SECONDS * (1 + MAX_EXPANDED / MANY_BYTES)
    num_lines = text.count("\n") + text.count("\\n")
    return MAX_SECONDS * max(1.0, num_lines / MANY_LINES, len(text) / MANY_BYTES)


def measured(fuzzer: Fuzzer, batch: list[Message]) -> list[float]:
    """CPU seconds of those messages that may have taken too long; of the others nothing, since asking costs as much."""
    seconds = fuzzer.send(*batch)
    return [fuzzer.cost(message) for message in batch] if seconds > MAX_SECONDS else []


def show(slowest: list[tuple[float, int, Message]], too_slow: list[tuple[float, Message]]) -> None:
    for seconds, number, message in sorted(slowest, reverse=True):
        head = f"{seconds * 1000:8.1f} ms  {len(message.value):>8} B  message {number}, {message.kind}"
        print(f"{head}: {message.value[:80]!r}")
    for seconds, message in too_slow[:NUM_SHOWN]:
        print(f"TOO SLOW {seconds * 1000:.1f} ms, {len(message.value)} B, {message.kind}: {message.value[:4096].hex()}")


def report(findings: Findings, memory: list[int]) -> None:
    print(json.dumps({
        "messages": findings.num_messages, "seed": SEED, "megabytes": findings.num_bytes // 10**6,
        "events": findings.num_events, "samples": findings.num_samples, "dead_letters": sum(findings.reasons.values()),
        "missing": len(findings.missing), "defects": len(findings.defects), 
        "rss_mib": [number // 2**20 for number in memory],
        "reasons": dict(findings.reasons.most_common()), "shapes": dict(findings.shapes.most_common()),
    }, indent=1))  # fmt: skip


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_a_million_mutated_messages() -> None:
    """Each yields events, samples or a dead letter with its reason, within its time."""
    mutator, fuzzer, process = Mutator(SEED), Fuzzer(), psutil.Process()
    slowest: list[tuple[float, int, Message]] = []
    too_slow: list[tuple[float, Message]] = []
    memory: list[int] = []
    began = time.monotonic()
    gc.collect()
    gc.freeze()
    gc.disable()
    for number in range(BATCH, NUM_MESSAGES + 1, BATCH):
        batch = [mutator.message() for _ in range(BATCH)]
        for message, first in zip(batch, measured(fuzzer, batch), strict=False):
            seconds = first if first < MAX_SECONDS else min(first, fuzzer.cost(message), fuzzer.cost(message))
            slowest = heapq.nlargest(NUM_SHOWN, [*slowest, (seconds, number, message)])
            if seconds > MAX_SECONDS and seconds > allowance(message):
                too_slow.append((seconds, message))
        if number % FLUSH_EVERY == 0:
            fuzzer.flush()
            gc.collect()
        if number % REPORT_EVERY == 0:
            memory.append(process.memory_info().rss)
            print(f"{number} messages, {time.monotonic() - began:.0f} s, {memory[-1] >> 20} MiB", flush=True)
    fuzzer.flush()
    gc.enable()
    report(fuzzer.findings, memory)
    show(slowest, too_slow)
    for detail, message in fuzzer.findings.defects[:NUM_SHOWN]:
        print(f"DEFECT {detail}, {message.kind}: {message.value[:4096].hex()}")
    for message in fuzzer.findings.missing[:NUM_SHOWN]:
        print(f"NO TRACE, {message.kind}: {message.value[:4096].hex()}")
    assert (fuzzer.findings.missing, fuzzer.findings.defects, too_slow) == ([], [], [])
    assert not memory or memory[-1] - memory[0] < MAX_GROWTH_BYTES
