"""Evaluation on small recordings made here."""

import json
from pathlib import Path

import numpy as np

from services.anomaly.train.benchmark import evaluate_streams
from services.anomaly.train.evaluate import attempt, clean_alarms, others
from services.anomaly.train.labelled import read_streams
from services.anomaly.train.streams import half_of, rotated
from services.common.matching import Fault
from tests.unit.anomaly.streams import SECOND, SETTINGS, START, normal, slow, story


def test_a_planted_fault_is_found_and_named() -> None:
    """One fault in the API, nothing else: the rivals' figures come from the same records."""
    faults = [Fault("slow", "nova-api", START + 300 * SECOND, START + 330 * SECOND)]
    records = [*normal(0, 300), *story(300, 340, api=slow(5.0, until=330))]
    moselle = attempt(records, faults, SETTINGS)
    assert (moselle["found"], moselle["named"], moselle["alerts_unmatched"]) == (1, 1, 0)
    rivals = dict(others(records, faults, SETTINGS))
    assert {"three_sigma", "river_half_space_trees", "river_gaussian"} <= set(rivals)
    assert all(rival["injected"] == 1 for rival in rivals.values())


def test_a_clean_part_is_judged_from_several_places() -> None:
    """What goes on as ever alarms nowhere."""
    clean = clean_alarms(normal(0, 300), [], SETTINGS)
    assert (clean["alarms"], clean["which"]) == (0, [])
    assert clean["judged_seconds"] > 0


def test_a_rotated_stream_goes_on_in_time_and_count() -> None:
    """The same scrapes from another place on; no counter falls, no time goes back."""
    records = normal(0, 100)
    turned = list(rotated(records, 40 * SECOND))
    assert len(turned) == len(records)
    times = [record["event_time"] for record in turned]
    assert times == sorted(times)
    counters = [record["values"][2] for record in turned if record["entity_id"] == "host:c1"]
    assert counters == sorted(counters)


def test_halves_make_the_whole() -> None:
    """Each series is in one of them."""
    records = normal(0, 10)
    count = sum(len(record["series"]) for record in records)
    assert sum(len(record["series"]) for which in (0, 1) for record in half_of(records, which)) == count


def test_labelled_archives_are_read_like_asd(tmp_path: Path) -> None:
    """A jump in a quiet series is found; its figures say what they were made of."""
    draw = np.random.default_rng(1)
    train, test, label = draw.normal(0, 1, (200, 2)), draw.normal(0, 1, (100, 2)), np.zeros(100, dtype="int8")
    test[40:60, 0] += 50
    label[40:60] = 1
    np.savez(tmp_path / "one.npz", train=train, test=test, label=label)
    figures = evaluate_streams(list(read_streams(tmp_path)), SETTINGS, only=("moselle",))
    assert figures["detectors"]["moselle"]["event_recall"] == 1.0
    assert (figures["events"], figures["series"]) == (1, 2)
    assert figures["detectors"]["moselle"]["false_alarms"] == 0


def test_files_like_nab_are_read(tmp_path: Path) -> None:
    """A CSV with its windows in one JSON."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "data" / "kind").mkdir(parents=True)
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps({"kind/a.csv": []}))
    lines = [f"2026-01-01 {n // 60:02}:{n % 60:02}:00,{n % 5}" for n in range(600)]
    (tmp_path / "data" / "kind" / "a.csv").write_text("\n".join(["timestamp,value", *lines]) + "\n")
    figures = evaluate_streams(list(read_streams(tmp_path)), SETTINGS, only=("moselle",))
    assert figures["detectors"]["moselle"]["alarms"] == 0
