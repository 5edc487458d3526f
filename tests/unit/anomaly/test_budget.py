"""Alerts a day: kept on calm streams of any kind, and clear troubles are let through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model.budget import CLEAR, DAY, Budget, decode_budget, encode_budget, share_of
from services.common.errors import ArtifactMismatch

MINUTE = 60_000_000
WEEKS = 4


def distances(name: str, num: int, seed: int = 1) -> np.ndarray:
    """How far from usual a calm stream's values lie, in lines: too often beyond one, as a badly drawn line has it."""
    draw = np.random.default_rng(seed)
    if name == "gauss":
        return np.abs(draw.standard_normal(num)) / 2.5
    if name == "heavy tails":
        return np.abs(draw.standard_t(2, num)) / 6
    size = np.repeat(np.where(draw.random(num // 60 + 1) < 0.05, 3.0, 0.5), 60)[:num]
    return np.abs(draw.standard_normal(num)) / 2.5 * size


def fired(name: str, per_day: float, start: int = 10 * DAY) -> tuple[list[int], Budget]:
    """Times of the alerts of four weeks of minutes, each a trouble of its own where its distance is beyond one."""
    budget = Budget(per_day)
    times = []
    for at, distance in enumerate(distances(name, WEEKS * 7 * 1440).tolist()):
        if distance > 1:
            time = start + at * MINUTE
            if budget.ask(f"host:c{at % 97}|latency", time, distance / (1 + distance)).fires:
                times.append(time)
    return times, budget


@pytest.mark.parametrize("name", ["gauss", "heavy tails", "bursts"])
@pytest.mark.parametrize("per_day", [1, 5, 20])
def test_no_day_has_more_than_the_budget(name: str, per_day: int) -> None:
    """Whichever 24 hours one takes, in four weeks of streams that would alert twenty times a day and more."""
    times, budget = fired(name, per_day)
    assert all(b - a >= DAY for a, b in zip(times, times[per_day:], strict=False))
    least = 0.25 if name == "bursts" else 0.4  # a burst's day is spent within the hour
    assert least * per_day * 7 * WEEKS < len(times) <= per_day * (7 * WEEKS + 1)
    assert budget.state.num_held > 0


def test_alerts_are_spread_over_the_days() -> None:
    """The line rises until there are as many as wanted: few days are spent by their first hours."""
    times, _ = fired("gauss", 20)
    hours = np.bincount([time // 3_600_000_000 % 24 for time in times], minlength=24)
    assert hours.max() < 4 * max(1, hours.mean())


def test_a_stream_within_its_budget_is_left_alone() -> None:
    """Two alerts a day of the five that are allowed: all of them, with the line where it was."""
    budget = Budget(5)
    answers = [
        budget.ask("host:c1|latency", day * DAY + part, 0.55).fires for day in range(30) for part in (0, DAY // 2)
    ]
    assert all(answers)
    assert budget.line(31 * DAY) == 0.5


def test_clear_faults_come_through_a_noisy_day() -> None:
    """One a day among noise that would take all of the budget: every critical or clear one is alerted."""
    budget, found = Budget(8), 0
    noise = distances("gauss", 7 * 1440, seed=3).tolist()
    for at, distance in enumerate(noise):
        if distance > 1:
            budget.ask(f"noise|{at}", at * MINUTE, distance / (1 + distance))
        if at % 1440 == 1000:
            severity = "critical" if at % 2880 == 1000 else "warning"
            found += budget.ask("host:c9|disk", at * MINUTE, 0.6 if severity == "critical" else 0.9, severity).fires
    assert found == 7


def test_no_storm_of_clear_alerts_either() -> None:
    """A thousand entities that fail at once are ten alerts; the others are held back and told."""
    budget = Budget(10)
    answers = [budget.ask(f"host:c{at}|disk", at, 0.95, "critical").fires for at in range(1000)]
    assert sum(answers) == 10
    assert budget.tell(1000)["held_back"] == "990"


def test_what_is_held_back_is_told_once() -> None:
    """A trouble that is asked for again counts once; who alerts after all is not held back any more."""
    budget = Budget(1)
    assert budget.ask("a|x", 0, 0.9).fires
    assert [budget.ask("b|x", at, 0.6).is_new for at in range(1, 4)] == [True, False, False]
    assert budget.ask("c|x", 5, 0.9).why == "day"
    assert budget.ask("c|x", DAY + 6, 0.9).fires
    assert budget.tell(DAY + 7) == {"held_back": "1", "held_back_worst": "b|x=0.60"}
    assert budget.tell(DAY + 8) == {}
    assert budget.state.num_held == 2


def test_a_summary_is_due_after_a_day_without_an_alert() -> None:
    """So that nothing is held back in silence."""
    budget = Budget(1)
    budget.ask("a|x", DAY, 0.9)
    budget.ask("b|x", DAY + 1, 0.6)
    assert not budget.is_summary_due(2 * DAY)
    assert budget.is_summary_due(2 * DAY + 1)
    budget.tell(2 * DAY + 1)
    assert not budget.is_summary_due(4 * DAY)


def test_less_than_one_a_day_is_one_in_several_days() -> None:
    """Half an alert a day is one in two days."""
    budget = Budget(0.5)
    assert [budget.ask("a|x", day * DAY, 0.9).fires for day in range(6)] == [True, False] * 3


def test_a_saved_budget_goes_on() -> None:
    """Its alerts, its line and what it holds back survive a restart."""
    _, one = fired("bursts", 5)
    two = Budget(5, decode_budget(encode_budget(one.state)))
    late = 10 * DAY + WEEKS * 7 * DAY + MINUTE
    asked = [(f"k|{at}", late + at * MINUTE, 0.5 + 0.004 * at) for at in range(100)]
    assert [one.ask(*each) for each in asked] == [two.ask(*each) for each in asked]
    assert encode_budget(one.state) == encode_budget(two.state)
    assert len(encode_budget(one.state)) < 5000


@pytest.mark.parametrize("payload", [b"\xc1", b"\x90", b""])
def test_state_of_something_else_is_refused(payload: bytes) -> None:
    """And of another version too."""
    with pytest.raises(ArtifactMismatch):
        decode_budget(payload)
    with pytest.raises(ArtifactMismatch, match="version 7"):
        decode_budget(encode_budget(Budget(1).state), 7)


def test_partitions_share_a_budget() -> None:
    """Each keeps its part; nonsense is a caller's mistake."""
    assert share_of(10, 4) == 2.5
    for mistake in (lambda: share_of(1, 0), lambda: Budget(0)):
        with pytest.raises(ValueError, match="budget"):
            mistake()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-DAY, 3 * DAY), st.floats(0, 1), st.sampled_from(["info", "warning", "critical"]))),
    st.sampled_from([0.3, 1, 2, 7, 100]),
)
def test_whatever_is_asked_the_line_stays_within_bounds(asked: list[tuple[int, float, str]], per_day: float) -> None:
    """Also for times that go back: a score of CLEAR or more needs nothing but room in the day."""
    budget = Budget(per_day)
    for at, (time, score, severity) in enumerate(asked):
        answer = budget.ask(f"e|{at % 7}", time, score, severity)  # type: ignore[arg-type]
        assert 0.5 <= budget.line(budget.state.at) <= CLEAR + 1e-9
        assert answer.why != "line" or score < CLEAR
    assert len(budget.state.fired) <= max(1, per_day)
