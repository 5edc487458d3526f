"""From series to signals, and from signals to sentences."""

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.core.events import Samples
from services.anomaly.core.semantics import ADVICE, SIGNALS, shown
from services.anomaly.core.signals import terms_of
from services.anomaly.core.words import Said, summary
from services.anomaly.model.assembly import Complete
from services.anomaly.model.entity import Entity, Who
from services.anomaly.model.rounds import Rounds, Waiting
from services.anomaly.model.team import Team
from services.anomaly.settings import AnomalySettings
from services.common.alerts import Subject
from tests.unit.anomaly.streams import CPU, HOST, TOTAL, make_host, make_record, procs, scrapes


def test_every_rule_has_advice_and_every_signal_one_name() -> None:
    """The table is whole."""
    assert {meaning.rule for meaning in SIGNALS if meaning.role == "alerts"} <= set(ADVICE)
    assert max(Counter(meaning.signal for meaning in SIGNALS).values()) == 1
    assert all(0 < meaning.hits <= meaning.of for meaning in SIGNALS)


def test_series_find_their_signals() -> None:
    """A processor that idles does no work; a stolen one is another signal; unknown ones are what the setting says."""
    idle, stolen = (f'node_cpu_seconds_total{{cpu="0",mode="{mode}"}}' for mode in ("idle", "steal"))
    assert [term.signal.key for term in terms_of(CPU, "join")] == ["cpu_busy"]
    assert terms_of(idle, "join") == ()
    assert [term.signal.key for term in terms_of(stolen, "join")] == ["cpu_steal"]
    assert [(t.signal.key, t.is_below) for t in (*terms_of(HOST, "join"), *terms_of(TOTAL, "join"))] == [
        ("memory_available", False),
        ("memory_available", True),
    ]
    assert terms_of("whatever", "ignore") == ()
    assert [terms_of("whatever", way)[0].signal.meaning.role for way in ("join", "alert")] == ["joins", "alerts"]


def test_members_name_the_process_group() -> None:
    """Each group is a signal of its own."""
    [term] = terms_of(procs("nova-compute-3"), "join")
    assert (term.signal.key, term.signal.member) == ("processes|nova-compute-3", "nova-compute-3")


def test_values_are_shown_in_their_units() -> None:
    """As people write them."""
    assert [shown(v, u) for v, u in ((0.61, "ratio"), (3.5 * 2**20, "bytes"), (2**50, "bytes"), (7, ""))] == [
        "61 %", "3.5 MiB", "1024.0 TiB", "7",
    ]  # fmt: skip


def test_a_summary_is_a_sentence_for_a_pager() -> None:
    """What, where, how far, and what was normal."""
    meaning = next(meaning for meaning in SIGNALS if meaning.signal == "disk_busy")
    said = Said(meaning, "disk_busy|vda", 0.8, 0.01, 0.3, (0.0, 0.02), 90.0)
    assert summary(said, "host:compute-1", "") == (
        "time in which the disk was busy (vda) on host compute-1 rose to 80 %, "
        "never above 2 % while things were normal (90 minutes watched)"
    )


def assemble(records: list[dict[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    """What the records of one entity come to, by time."""
    merged: dict[int, dict[str, float]] = {}

    class NotingRounds(Rounds):
        def note(self, records: Any, complete: Complete, times: Any, bands: Any) -> None:
            for record, slot, value in zip(complete.record_of, complete.slots, complete.values, strict=True):
                merged.setdefault(int(times[record]), {})[self._store.signal(slot).key] = float(value)

    team = Team(AnomalySettings(), NotingRounds)
    entity = Entity(Who(Subject("cloud", "host:c1"), "c1", 0, 0), None)
    for number, record in enumerate(records):
        samples = Samples.from_record(record)
        team.rounds.take(Waiting(number, entity, samples, "host:c1 node", entity.source("host:c1 node"), None, 0))
    team.rounds.flush()
    return sorted(merged.items())


def test_counters_become_rates_and_shares_are_divided() -> None:
    """The first scrape has no rate; half a processor is half a processor at any interval."""
    [(_, first), (_, second)] = assemble([make_host(0), make_host(7)])
    assert set(first) == {"memory_available"}
    assert second["cpu_busy"] == 0.5
    assert 0.78 < second["memory_available"] < 0.82


def pieces(record: dict[str, Any], draw: random.Random) -> list[dict[str, Any]]:
    """The record in one to three parts, some of them twice, in any order."""
    order = list(range(len(record["series"])))
    draw.shuffle(order)
    cut = draw.randrange(len(order) + 1)
    parts = [
        {**record, "series": [record["series"][n] for n in part], "values": [record["values"][n] for n in part]}
        for part in (order[:cut], order[cut:])
        if part
    ]
    return parts + parts[: draw.randrange(2)]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_records_that_come_apart_twice_and_in_any_order_give_the_same_signals(seed: int) -> None:
    """However a scrape arrives, once the first ones have shown how many series there are."""
    draw = random.Random(seed)
    series = [f'node_cpu_seconds_total{{cpu="{n}",mode="user"}}' for n in range(4)]
    whole = [
        make_record(s, "host:c1", {name: s * (n + 1) / 16 for n, name in enumerate(series)}) for s in scrapes(0, 40)
    ]
    apart = [*whole[:2], *(piece for record in whole[2:] for piece in pieces(record, draw))]
    assert assemble(apart) == assemble(whole)


def test_a_series_that_vanishes_is_expected_no_longer() -> None:
    """For one scrape the rest is not judged, since it may be on its way; then it is."""

    def scrape(second: float, cpus: int) -> dict[str, Any]:
        names = [f'node_cpu_seconds_total{{cpu="{n}",mode="user"}}' for n in range(cpus)]
        return make_record(second, "host:c1", dict.fromkeys(names, second / 2))

    got = assemble([scrape(s, 2 if s < 20 else 1) for s in scrapes(0, 40)])
    assert [(time // 1_000_000 % 100, x["cpu_busy"]) for time, x in got] == [
        (5, 1.0), (10, 1.0), (15, 1.0), (25, 0.5), (30, 0.5), (35, 0.5),
    ]  # fmt: skip
