"""Hostile streams of five hosts: nothing stops the service, and nobody is flooded with alerts."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from services.anomaly.settings import AnomalySettings
from services.anomaly.train.replay import Replay
from tests.unit.anomaly.streams import make_record

HOSTS, SCRAPES, INTERVAL = 5, 400, 5.0
Values = dict[str, float]
#: Of (scrape, values, random numbers): what is sent instead, as (seconds later, values).
Way = Callable[[int, Values, random.Random], list[tuple[float, Values]]]

NEVER_QUIET = AnomalySettings(unknown_metrics="alert", whole="alert")


def each_value(change: Callable[[float, random.Random], float]) -> Way:
    """Every value is changed by itself."""
    return lambda number, values, draw: [(0.0, {name: change(value, draw) for name, value in values.items()})]


def some(share: float, *wild: float) -> Way:
    """A share of the values are wild ones."""
    return each_value(lambda value, draw: draw.choice(wild) if draw.random() < share else value)


def explode(number: int, values: Values, draw: random.Random) -> list[tuple[float, Values]]:
    """Once warm, fifty series come with each scrape that never came before."""
    new = {f'x{draw.randrange(10**9)}{{host="h1"}}': draw.random() for _ in range(50)} if number > 200 else {}
    return [(0.0, {**values, **new})]


def reset(number: int, values: Values, draw: random.Random) -> list[tuple[float, Values]]:
    """Counters that begin anew all the time."""
    counters = {f'node_network_receive_errs_total{{host="h1",device="e{n}"}}': number % (7 + n) for n in range(3)}
    return [(0.0, {**values, **counters})]


#: How often may alert, in all, over five hosts and half an hour.
WAYS: dict[str, tuple[Way, int]] = {
    "as_it_should_be": (each_value(lambda value, draw: value), 0),
    "half_is_nan": (some(0.5, math.nan), 0),
    "infinite": (some(0.1, math.inf, -math.inf), 0),
    "largest": (some(0.05, 1e308, -1e308), 2 * HOSTS),
    "stuck": (each_value(lambda value, draw: 7.0), 0),
    "three_times": (lambda number, values, draw: [(0.0, values)] * 3, 0),
    "unordered": (lambda number, values, draw: [(draw.choice([-50.0, -5.0, 0.0, 5.0]), values)], 0),
    "far_ahead": (lambda number, values, draw: [(1e7 if draw.random() < 0.02 else 0.0, values)], 0),
    "resets": (reset, 0),
    "heavy_tails": (each_value(lambda value, draw: math.tan(math.pi * (draw.random() - 0.5))), 0),
    "jumps_and_stays": (lambda number, values, draw: [(0.0, grown(values) if number > 250 else values)], HOSTS),
    "flaps": (lambda number, values, draw: [(0.0, grown(values) if number > 250 and number % 2 else values)], 10),
}  # fmt: skip


def grown(values: Values) -> Values:
    """Fifty times as much of everything."""
    return {name: 50 * value for name, value in values.items()}


def usual(draw: random.Random) -> Values:
    """What a host sends, known metrics and an unknown one."""
    return {
        'node_load1{host="h1"}': 1 + draw.random(),
        'nobody_knows{host="h1"}': draw.gauss(5, 1),
        'openstack_api_latency_seconds_mean{host="h1",service="a"}': draw.expovariate(20),
        'node_memory_MemAvailable_bytes{host="h1"}': 8e9 + draw.gauss(0, 1e7),
        'node_memory_MemTotal_bytes{host="h1"}': 16e9,
    }


def stream(way: Way) -> Iterator[dict[str, object]]:
    """Records in the order of the scrapes."""
    draw = random.Random(1)
    for number in range(SCRAPES):
        for host in range(HOSTS):
            for later, values in way(number, usual(draw), draw):
                yield make_record(max(0.0, INTERVAL * number + later), f"host:h{host}", values)


def fired(settings: AnomalySettings, records: Iterator[dict[str, object]]) -> Counter[str]:
    """Kinds of the alerts that fired."""
    said = Replay(settings).read(records).finish().records
    return Counter(str(alert["kind"]) for alert in said if alert["revision"] == 0)


@pytest.mark.parametrize("settings", [AnomalySettings(), NEVER_QUIET], ids=["as_shipped", "everything_may_alert"])
@pytest.mark.parametrize("name", WAYS)
def test_no_stream_is_a_storm(name: str, settings: AnomalySettings) -> None:
    """At most so many alerts as troubles there are, whatever comes."""
    way, most = WAYS[name]
    kinds = fired(settings, stream(way))
    assert kinds.total() <= most
    assert set(kinds) <= {"anomaly"}


@pytest.mark.parametrize("settings", [AnomalySettings(), NEVER_QUIET], ids=["as_shipped", "everything_may_alert"])
def test_exploding_series_are_one_alert_an_entity(settings: AnomalySettings) -> None:
    """About the source, and nothing about the series that came."""
    assert fired(settings, stream(explode)) == {"cardinality": HOSTS}


def test_exploding_entities_are_one_alert() -> None:
    """Pods of which each is seen once: those there is no room for are told once, about the partition."""
    draw = random.Random(1)
    records = (
        make_record(INTERVAL * number, f"pod:p{draw.randrange(10**9)}", usual(draw))
        for number in range(100) for _ in range(20)
    )  # fmt: skip
    assert fired(AnomalySettings(max_entities=300), records) == {"cardinality": 1}
