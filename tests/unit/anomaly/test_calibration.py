"""The calibrated score of alerts: how rare a trouble is among the steps of its own entity."""

import numpy as np
import pytest

from services.anomaly.model.calibration import EVERY, Calibration
from services.anomaly.model.policy import Policy
from services.common.alerts import Finding, Subject
from tests.unit.anomaly.streams import SETTINGS, Reader, make_api, slow, story

#: Steps after the warm-up until 64 of them are remembered.
KNOWN = 200 + 5 * EVERY * 70


def label(latency: float, end: float = KNOWN) -> str | None:
    """Of an alert that says that the API is so slow."""
    reader = Reader(SETTINGS).read(story(0, end, host=None, compute=None))
    reader.read(story(end, end + 20, host=None, api=slow(latency), compute=None))
    found: str | None = reader.alerts[0]["labels"].get("calibrated")
    return found


def test_an_alert_says_how_rare_it_is_for_its_entity() -> None:
    """The farther out the rarer, in [0, 1]."""
    slower, slow_ = label(30.0), label(0.9)
    assert slower is not None
    assert slow_ is not None
    assert 0.5 < float(slow_) <= float(slower) <= 1.0


def test_while_too_few_steps_are_known_it_says_nothing() -> None:
    """Right after the warm-up."""
    assert label(30.0, end=300) is None


def test_the_same_distance_is_rarer_where_it_is_quiet() -> None:
    """Of two entities, the one whose steps never come near the line."""
    calibration, draw = Calibration(), np.random.default_rng(3)
    rows = np.array([calibration.add(), calibration.add()])
    for _ in range(80 * EVERY):
        calibration.learn(rows, np.array([0.02, 0.45]) * draw.random(2))
    quiet, restless = (calibration.score(row, 0.55) for row in rows.tolist())
    assert quiet is not None
    assert restless is not None
    assert quiet > restless


def test_bad_steps_and_open_alerts_are_not_learnt() -> None:
    """What is out of the ordinary must not become ordinary."""
    reader = Reader(SETTINGS).read(story(0, 400, host=None, compute=None))
    before = reader.saved["conformal.scores|service:nova-api@c1"]
    reader.read(story(400, 900, host=None, api=slow(3.0), compute=None))
    assert reader.saved["conformal.scores|service:nova-api@c1"] == before


def test_restarted_at_any_moment_it_is_the_same() -> None:
    """Each byte of state, and the label."""
    records = [*story(0, 2000, host=None, compute=None), *story(2000, 2020, host=None, api=slow(3.0), compute=None)]
    steady, restarted = Reader(SETTINGS), Reader(SETTINGS)
    for begin in range(0, len(records), 23):
        steady.read(records[begin : begin + 23])
        restarted.restart()
        restarted.read(records[begin : begin + 23])
    assert restarted.saved == steady.saved
    assert restarted.alerts == steady.alerts


def test_scores_that_cannot_be_read_begin_anew() -> None:
    """They decide on no alert but by a budget."""
    reader = Reader(SETTINGS).read(story(0, 1000, host=None, compute=None))
    saved = dict(reader.state.items())
    key = "conformal.scores|service:nova-api@c1"
    saved[key] = saved[key]._replace(payload=b"\xc1")
    reader.state._values = saved
    reader.restart()
    reader.read([make_api(1000)])
    assert reader.stage._team.store.calibration.table.rows["num"].max() == 1


@pytest.mark.parametrize(("known", "fires"), [("0.900", True), ("0.510", False), (None, False)])
def test_the_budget_asks_for_the_calibrated_score(known: str | None, fires: bool) -> None:
    """After alerts that raised the line a trouble fires that is rare for its entity, not one that is not."""
    policy = Policy(40.0, {}, "")
    for number in range(6):
        finding = Finding("metric.anomaly", "latency", "anomaly", number, "warning", 0.9, 0.5, "s", "r")
        assert policy.admits(Subject("c", f"service:x{number}@c1"), [finding], 1000 + number)
    labels = {} if known is None else {"calibrated": known}
    asked = Finding("metric.anomaly", "latency", "anomaly", 2000, "warning", 0.6, 0.5, "s", "r", labels=labels)
    assert policy.admits(Subject("c", "service:y@c1"), [asked], 2000) is fires
