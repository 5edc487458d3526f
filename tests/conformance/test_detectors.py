"""What every log detector promises: services/logbert/model/abstract.py."""

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.logbert.core.events import Learning, Observation, Pause
from services.logbert.model.abstract import Detector
from services.logbert.model.error_burst import ErrorBurst
from services.logbert.model.http_errors import HttpErrors
from services.logbert.model.silence import Silence
from services.logbert.model.unseen_template import UnseenTemplate
from tests.unit.logbert.streams import SECOND, START, as_event, make_access, make_error, make_event, make_warning


class Case(NamedTuple):
    """A detector, what is normal to it, and what is not: the last of `planted` must stand out."""

    make: Callable[[], Detector]
    normal: list[Observation]
    planted: list[Observation]


def pause(seconds: float, at: int = 0) -> Pause:
    """A pause that ends at START + `at` seconds."""
    end = START + at * SECOND
    return Pause("c1:nova-api.log", end - round(seconds * SECOND), end)


CASES = {
    "error_burst": Case(
        ErrorBurst,
        [as_event(make_error(20.0 * n)) for n in range(30)],
        [as_event(make_error(1000 + n / 10)) for n in range(20)],
    ),
    "unseen_template": Case(
        UnseenTemplate,
        [as_event(make_warning(n, f"t{n % 5}")) for n in range(60)],
        [as_event(make_warning(1000, "t-new"))],
    ),
    "http_errors": Case(
        HttpErrors,
        [as_event(make_access(5.0 * n, 404 if n % 4 else 503)) for n in range(60)],
        [as_event(make_access(1000 + n / 10, 503)) for n in range(30)],
    ),
    "silence": Case(Silence, [pause(1 + n % 4, n) for n in range(60)], [pause(60.0, 1000)]),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """Each detector in turn."""
    return CASES[request.param]


def taught(case: Case) -> Detector:
    """A detector that has learnt what is normal."""
    detector = case.make()
    for seen in case.normal:
        detector.learn(seen, "warm_up")
    return detector


def test_normal_traffic_stays_below_the_threshold(case: Case) -> None:
    """What was learnt as normal scores at most the threshold when it comes again."""
    detector = taught(case)
    assert max(detector.score(seen) for seen in case.normal) <= detector.threshold


def test_a_planted_anomaly_outranks_normal_traffic(case: Case) -> None:
    """The planted one scores above the threshold and above everything normal."""
    detector = taught(case)
    for seen in case.planted[:-1]:
        detector.learn(seen, "held")
    planted = detector.score(case.planted[-1])
    assert planted > detector.threshold
    assert planted > max(detector.score(seen) for seen in case.normal)


def test_scoring_learns_nothing(case: Case) -> None:
    """Scored a hundred times, the saved state is the same, and so is the score."""
    detector = taught(case)
    before = detector.save()
    scores = {detector.score(case.planted[0]) for _ in range(100)}
    assert detector.save() == before
    assert len(scores) == 1


def test_explaining_learns_nothing(case: Case) -> None:
    """The words for people leave the state alone, and have evidence or a start."""
    detector = taught(case)
    for seen in case.planted[:-1]:
        detector.learn(seen, "held")
    before = detector.save()
    alarm = detector.explain(case.planted[-1])
    assert detector.save() == before
    assert alarm.summary
    assert alarm.reason
    assert alarm.starts_at >= START


def test_input_is_not_changed(case: Case) -> None:
    """Scoring and learning leave the observation as it is."""
    seen = case.planted[-1]
    before = copy.deepcopy(seen)
    detector = taught(case)
    detector.score(seen)
    detector.learn(seen, "slow")
    assert seen == before


def test_same_input_gives_same_scores(case: Case) -> None:
    """Two detectors taught alike answer alike."""
    one, two = taught(case), taught(case)
    both = [*case.normal, *case.planted]
    assert [one.score(seen) for seen in both] == [two.score(seen) for seen in both]


def test_save_and_load_change_nothing(case: Case) -> None:
    """What is loaded from what was saved scores the same, now and after learning on."""
    one, two = taught(case), case.make()
    two.load(one.save())
    for seen in [*case.planted, *case.normal]:
        assert one.score(seen) == two.score(seen)
        one.learn(seen, "slow")
        two.learn(seen, "slow")
    assert one.save() == two.save()


def test_what_it_is_not_for_scores_zero(case: Case) -> None:
    """An event for a detector of pauses, a pause for one of events, a harmless line for all."""
    detector = taught(case)
    other = make_event(5000) if detector.reads == "pauses" else pause(5000.0)
    assert detector.score(other) == 0.0
    assert detector.score(make_event(5000)) == 0.0


OBSERVATIONS = st.one_of(
    st.builds(
        lambda second, level, template, status: as_event(
            make_access(second, status, severity_number=level, template_id=template)
        ),
        st.integers(-10_000, 10_000), st.integers(0, 24), st.text(max_size=3), st.integers(0, 999),
    ),
    st.builds(Pause, st.sampled_from("ab"), st.integers(0, 2**53), st.integers(0, 2**53)),
)  # fmt: skip
LEARNING: st.SearchStrategy[Learning] = st.sampled_from(["warm_up", "slow", "held"])


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=50, deadline=None)
@given(seen=st.lists(st.tuples(OBSERVATIONS, LEARNING), max_size=40))
def test_scores_are_finite_and_between_zero_and_one(name: str, seen: list[tuple[Observation, Learning]]) -> None:
    """Whatever comes, in whatever order, before and after saving."""
    detector = CASES[name].make()
    for observation, learning in seen:
        score = detector.score(observation)
        assert math.isfinite(score)
        assert 0.0 <= score <= 1.0
        detector.learn(observation, learning)
    again = CASES[name].make()
    again.load(detector.save())
    assert [again.score(o) for o, _ in seen] == [detector.score(o) for o, _ in seen]
