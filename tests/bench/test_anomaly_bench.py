"""Samples a second through anomaly's stage with its default detectors, beside River's HalfSpaceTrees alone."""

import gc
import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import river.anomaly

from services.anomaly.settings import AnomalySettings
from services.anomaly.train.replay import Replay
from tests.unit.anomaly.streams import make_record

pytestmark = pytest.mark.bench

SERVICES, SCRAPES = 40, 250


def scrape(second: float, service: int, draw: random.Random) -> dict[str, object]:
    """One service's five process series and five of its API."""
    group = f"api-{service}"
    values = {
        f'namedprocess_namegroup_num_procs{{groupname="{group}",host="c1"}}': 3.0,
        f'namedprocess_namegroup_cpu_seconds_total{{groupname="{group}",host="c1",mode="user"}}': 0.3 * second,
        f'namedprocess_namegroup_cpu_seconds_total{{groupname="{group}",host="c1",mode="system"}}': 0.1 * second,
        f'namedprocess_namegroup_open_filedesc{{groupname="{group}",host="c1"}}': 60 + draw.randrange(9),
        f'namedprocess_namegroup_num_threads{{groupname="{group}",host="c1"}}': 12.0,
        f'openstack_api_latency_seconds_mean{{host="c1",service="{group}"}}': draw.expovariate(20),
        f'openstack_api_latency_seconds_p95{{host="c1",service="{group}"}}': draw.expovariate(5),
        f'openstack_api_errors{{host="c1",service="{group}"}}': 0.0,
        f'openstack_api_rejected{{host="c1",service="{group}"}}': float(draw.random() < 0.1),
        f'openstack_api_requests{{host="c1",service="{group}"}}': float(draw.randrange(40)),
    }
    return make_record(second, f"service:{group}@c1", values)


def records(services: int = SERVICES, first: int = 0, end: int = SCRAPES) -> list[dict[str, object]]:
    draw = random.Random(first)
    return [scrape(5.0 * n, service, draw) for n in range(first, end) for service in range(services)]


class Figures(NamedTuple):
    """Of the second half of a stream, when all detectors know enough to judge."""

    samples_per_second: float
    bytes_written_a_sample: float
    resident_bytes: int


def resident_bytes() -> int:
    """Memory that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def measured(settings: AnomalySettings, services: int, scrapes: int, batch: int) -> Figures:
    """Reads one half, then the other; records are made before, and the collector does not look at them."""
    replay = Replay(settings)
    for part in (range(scrapes // 2), range(scrapes // 2, scrapes)):
        before, seconds, written = replay.num_samples, replay.seconds, replay.state_bytes
        waiting = records(services, part.start, part.stop)
        gc.collect()
        gc.freeze()
        replay.read(waiting, batch)
        del waiting
    num = replay.num_samples - before
    gc.unfreeze()
    gc.collect()
    return Figures(num / (replay.seconds - seconds), (replay.state_bytes - written) / num, resident_bytes())


def river_rate(samples: list[dict[str, object]]) -> float:
    """Values per CPU second of one HalfSpaceTrees (10 trees of height 8) over vectors of ten: score, then learn."""
    model = river.anomaly.HalfSpaceTrees(seed=1)
    vectors = [dict(enumerate(record["values"])) for record in samples]  # type: ignore[call-overload]
    began = time.process_time()
    for x in vectors:
        model.score_one(x)
        model.learn_one(x)
    return 10 * len(vectors) / (time.process_time() - began)


def ways() -> Iterator[tuple[str, Callable[[], Figures]]]:
    """Name and measurement of each row."""
    default, plain = AnomalySettings(), AnomalySettings(advisers=())
    yield "100 series, 1,000 records a transaction", lambda: measured(default, 10, 1000, 1000)
    yield "10,000 series, 1,000 records a transaction (one scrape)", lambda: measured(default, 1000, 80, 1000)
    yield "10,000 series, 10,000 records a transaction (catching up)", lambda: measured(default, 1000, 80, 10_000)
    yield "10,000 series, the same, voters only", lambda: measured(plain, 1000, 80, 10_000)
    yield "100,000 series, 10,000 records a transaction (one scrape)", lambda: measured(default, 10_000, 8, 10_000)
    yield "100,000 series, 40,000 records a transaction", lambda: measured(default, 10_000, 8, 40_000)


@pytest.mark.parametrize(("name", "way"), list(ways()))
def test_samples_per_second(name: str, way: Callable[[], Figures]) -> None:
    """Printed, not asserted: the machine is shared. Rounds of some 8,000 samples at most are judged in one go."""
    before = resident_bytes()
    figures = way()
    assert figures.bytes_written_a_sample > 0, "what was learnt is saved"
    print(
        f"{name}: {figures.samples_per_second:,.0f} samples/s, {figures.bytes_written_a_sample:.0f} bytes of state a "
        f"sample, {(figures.resident_bytes - before) / 2**20:,.0f} MB more"
    )


def test_river_alone() -> None:
    """What River's own trees take."""
    print(f"River HalfSpaceTrees alone, vectors of 10: {river_rate(records()):,.0f} values/s")
