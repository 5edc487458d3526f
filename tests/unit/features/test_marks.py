"""Which records are admitted: by their entity's own time, and by Kafka's."""

from services.features.core.marks import JUMP, SECOND, Mark, StepRules, Verdict

RULES = StepRules(step_seconds=10, lateness_seconds=10, quiet_seconds=10)
START = 1_000_000_000 * SECOND


def admit(mark: Mark, seconds: float, appended: float | None = None) -> Verdict:
    at = None if appended is None else START + int(appended * SECOND)
    return mark.admit(START + int(seconds * SECOND), at, RULES)


def test_a_step_stays_open_for_the_lateness() -> None:
    """Its end at 10 is passed at 20, not before."""
    mark = Mark()
    assert [admit(mark, s) for s in (5, 19.9, 9.9)] == [Verdict.ADMITTED] * 3
    assert [admit(mark, s) for s in (20, 9.9)] == [Verdict.ADMITTED, Verdict.LATE]


def test_quiet_closes_what_is_open() -> None:
    """Ten seconds of Kafka's time without a record: what comes for the open step then is late."""
    mark = Mark()
    admit(mark, 5, appended=100)
    assert admit(mark, 6, appended=109.9) is Verdict.ADMITTED
    assert admit(mark, 7, appended=119.9) is Verdict.LATE


def test_late_records_are_no_sign_of_life() -> None:
    """A capture that is fed again does not hold the last step open."""
    mark = Mark()
    admit(mark, 0, appended=100)
    admit(mark, 30, appended=101)
    assert [admit(mark, n, appended=101 + n) for n in (1, 5, 9)] == [Verdict.LATE] * 3
    assert admit(mark, 31, appended=111.5) is Verdict.LATE


def test_a_time_far_ahead_is_doubted_until_borne_out() -> None:
    """One wrong time drops itself; three near each other are believed."""
    mark, ahead = Mark(), 3 * JUMP / SECOND
    admit(mark, 0, appended=0)
    assert admit(mark, ahead, appended=1) is Verdict.FUTURE
    assert admit(mark, 1, appended=2) is Verdict.ADMITTED
    assert [admit(mark, ahead + n, appended=3 + n) for n in range(3)] == [
        Verdict.FUTURE, Verdict.FUTURE, Verdict.ADMITTED,
    ]  # fmt: skip


def test_a_clock_that_is_right_again_begins_anew() -> None:
    """A host that came up a year ahead is heard again when its clock is set."""
    mark, ahead = Mark(), 365 * 86_400.0
    admit(mark, ahead, appended=0)
    admit(mark, ahead + 30, appended=1)
    assert admit(mark, 2, appended=2) is Verdict.BEGUN_ANEW
    assert admit(mark, 3, appended=3) is Verdict.ADMITTED


def test_an_old_capture_is_not_taken_for_a_wrong_clock() -> None:
    """Its times lie far behind Kafka's, with gaps of any length."""
    mark = Mark()
    assert [admit(mark, s, appended=10**7 + s / 30) for s in (0, 5, 4000, 90_000)] == [Verdict.ADMITTED] * 4
