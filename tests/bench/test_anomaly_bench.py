"""Samples a second through anomaly's stage with its default detectors, beside River's HalfSpaceTrees alone."""

import random
import time
from collections.abc import Callable

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


def records() -> list[dict[str, object]]:
    draw = random.Random(1)
    return [scrape(5.0 * n, service, draw) for n in range(SCRAPES) for service in range(SERVICES)]


def stage_rate(settings: AnomalySettings, batch: int) -> tuple[float, float]:
    """(samples per CPU second, bytes of state written per sample)."""
    replay = Replay(settings).read(records(), batch)
    return replay.num_samples / replay.seconds, replay.state_bytes / replay.num_samples


def river_rate(samples: list[dict[str, object]]) -> float:
    """Values per CPU second of one HalfSpaceTrees (10 trees of height 8) over vectors of ten: score, then learn."""
    model = river.anomaly.HalfSpaceTrees(seed=1)
    vectors = [dict(enumerate(record["values"])) for record in samples]  # type: ignore[call-overload]
    began = time.process_time()
    for x in vectors:
        model.score_one(x)
        model.learn_one(x)
    return 10 * len(vectors) / (time.process_time() - began)


def test_samples_per_second() -> None:
    """Printed, not asserted: the machine is shared."""
    plain = AnomalySettings(advisers=())
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "default set, one scrape a transaction": lambda: stage_rate(AnomalySettings(), SERVICES),
        "default set, 25 scrapes a transaction": lambda: stage_rate(AnomalySettings(), 25 * SERVICES),
        "voters only, 25 scrapes a transaction": lambda: stage_rate(plain, 25 * SERVICES),
    }
    for name, way in ways.items():
        rate, written = way()
        assert written > 0, "what was learnt is saved"
        print(f"{name}: {rate:,.0f} samples/s, {written:.0f} bytes of state a sample")
    print(f"River HalfSpaceTrees alone, vectors of 10: {river_rate(records()):,.0f} values/s")
