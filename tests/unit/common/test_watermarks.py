"""Whose clock is believed, and what a wrong one does to the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import ArtifactMismatch
from services.common.watermarks import SECOND, Arrival, Tolerances, Watermarks

HOUR = 3600 * SECOND
START = 1_800_000_000 * SECOND


def talk(marks: Watermarks, host: str, sources: list[str], seconds: range, ahead: int = 0) -> None:
    """Every source of the host speaks once a second."""
    for second in seconds:
        for source in sources:
            marks.observe(f"{host}:{source}", host, START + second * SECOND + ahead)


def test_watermark_is_the_highest_event_time() -> None:
    """An older event within the allowed lateness is on time and moves nothing."""
    marks = Watermarks()
    marks.observe("a", "h", START + 5 * SECOND)
    seen = marks.observe("a", "h", START)
    assert (seen.arrival, seen.watermark) == (Arrival.ON_TIME, START + 5 * SECOND)


def test_too_old_an_event_is_late() -> None:
    """Older than the allowance is late, and changes no clock."""
    marks = Watermarks(Tolerances(lateness_seconds=60))
    marks.observe("a", "h", START)
    assert marks.observe("a", "h", START - 61 * SECOND).arrival is Arrival.LATE
    assert marks.host_clock("h") == START


def test_one_record_from_the_future_moves_no_clock() -> None:
    """A single line with a wild date is counted as future; the next ordinary one is on time."""
    marks = Watermarks()
    talk(marks, "h", ["a", "b"], range(10))
    assert marks.observe("h:a", "h", START + HOUR).arrival is Arrival.FUTURE
    assert marks.host_clock("h") == START + 9 * SECOND
    assert marks.observe("h:a", "h", START + 10 * SECOND).arrival is Arrival.ON_TIME


def test_a_source_that_comes_back_after_an_hour_is_believed() -> None:
    """Three events in a row that agree carry the watermark over a long gap."""
    marks = Watermarks()
    talk(marks, "h", ["a"], range(5))
    arrivals = [marks.observe("h:a", "h", START + HOUR + n * SECOND).arrival for n in range(4)]
    assert arrivals == [Arrival.FUTURE, Arrival.FUTURE, Arrival.ON_TIME, Arrival.ON_TIME]
    assert marks.host_clock("h") == START + HOUR + 3 * SECOND


def test_an_hour_that_passed_is_no_jump() -> None:
    """Whoever speaks once an hour is believed at once, as our own clock went on as far; a clock that jumped is not."""
    marks = Watermarks(Tolerances(trusts_pauses=True))
    for hour in range(3):
        assert marks.observe("a", "h", START + hour * HOUR, START + hour * HOUR).arrival is Arrival.ON_TIME
    assert marks.observe("a", "h", START + 3 * HOUR, START + 2 * HOUR + 5 * SECOND).arrival is Arrival.FUTURE
    marks.load_host("h", marks.save_host("h"))
    assert marks.observe("a", "h", START + 3 * HOUR, START + 3 * HOUR).arrival is Arrival.ON_TIME


def test_a_source_in_another_time_zone_does_not_move_its_host() -> None:
    """A file written in local time keeps its own watermark; its neighbours' clock goes on as before."""
    marks = Watermarks()
    talk(marks, "h", ["a", "b"], range(5))
    for second in range(10):
        marks.observe("h:odd", "h", START + HOUR + second * SECOND)
    assert marks.host_clock("h") == START + 4 * SECOND
    assert marks.quiet("h:a", "h") == 0


def test_a_second_source_bears_a_strange_time_out() -> None:
    """After a gap in everything two sources that agree move their host's clock."""
    marks = Watermarks()
    talk(marks, "h", ["a", "b"], range(5))
    talk(marks, "h", ["a", "b"], range(5), ahead=HOUR)
    assert marks.host_clock("h") == START + HOUR + 4 * SECOND


def test_a_clock_set_back_is_believed_after_many_events() -> None:
    """A source that stays an hour behind itself is not late for ever."""
    marks = Watermarks(Tolerances(num_to_set_back=5))
    talk(marks, "h", ["a"], range(5), ahead=HOUR)
    arrivals = [marks.observe("h:a", "h", START + n * SECOND).arrival for n in range(6)]
    assert arrivals[-2:] == [Arrival.SET_BACK, Arrival.ON_TIME]


def test_cluster_clock_needs_a_second_host() -> None:
    """A host an hour ahead is not borne out; the two that agree make the cluster's clock."""
    marks = Watermarks()
    talk(marks, "wild", ["a"], range(10), ahead=HOUR)
    talk(marks, "one", ["a"], range(10))
    talk(marks, "two", ["a"], range(8))
    assert marks.cluster_clock() == START + 9 * SECOND


def test_cluster_clock_of_one_host_is_its_own() -> None:
    """With one host there is nobody to ask."""
    marks = Watermarks()
    talk(marks, "one", ["a"], range(3))
    assert marks.cluster_clock() == START + 2 * SECOND


def test_two_hosts_that_disagree_have_no_cluster_clock() -> None:
    """Nobody can tell which of two is right."""
    marks = Watermarks()
    talk(marks, "one", ["a"], range(3))
    talk(marks, "two", ["a"], range(3), ahead=-HOUR)
    assert marks.cluster_clock() is None


def test_quiet_is_measured_while_the_host_goes_on() -> None:
    """The time since a source spoke, on its host's clock."""
    marks = Watermarks()
    talk(marks, "h", ["a", "b"], range(10))
    talk(marks, "h", ["b"], range(10, 31))
    assert marks.quiet("h:a", "h") == 21 * SECOND


def test_a_lull_of_the_whole_host_is_nobodys_silence() -> None:
    """When a shipper stops for five minutes, the source that returns last was not silent for five minutes."""
    marks = Watermarks(Tolerances(lull_seconds=5))
    talk(marks, "h", ["a", "b"], range(10))
    talk(marks, "h", ["b"], range(310, 312))
    assert marks.quiet("h:a", "h") <= 7 * SECOND


def test_save_and_load_go_on_as_before() -> None:
    """A restored host answers as the original."""
    marks, again = Watermarks(), Watermarks()
    talk(marks, "h", ["a", "b"], range(10))
    again.load_host("h", marks.save_host("h"))
    event = ("h:a", "h", START + 12 * SECOND)
    assert again.observe(*event) == marks.observe(*event)
    assert again.save_host("h") == marks.save_host("h")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-100, 10_000)), max_size=60))
def test_clocks_never_outrun_what_was_seen(events: list[tuple[str, int]]) -> None:
    """Whatever comes, a host's clock is some event's time and no watermark lies above the highest event."""
    marks = Watermarks()
    for source, second in events:
        marks.observe(source, "h", START + second * SECOND)
    times = {START + second * SECOND for _, second in events}
    for mark in marks.hosts.values():
        assert mark.clock in times
        assert {source.watermark for source in mark.sources.values()} <= times


def send_again(marks: Watermarks, pace: float, count: int = 200) -> list[Arrival]:
    """What becomes of events that a source shows again from its beginning, `pace` event seconds a second."""
    for second in range(1000):
        marks.observe("a", "h", second * SECOND, second * SECOND)
    arrived = {at: round((2000 + at / pace) * SECOND) for at in range(1, count)}
    return [marks.observe("a", "h", at * SECOND, arrived[at]).arrival for at in arrived]


def test_a_recording_sent_a_second_time_is_late() -> None:
    """Old events that come faster than they happened are no clock: none of them moves the watermark."""
    marks = Watermarks()
    assert set(send_again(marks, pace=30)) == {Arrival.LATE}
    assert marks.host_clock("h") == 999 * SECOND


def test_the_end_of_a_recording_sent_again_is_late_up_to_what_is_new() -> None:
    """Also its last minute, which by itself would be in time; the first event after it counts."""
    marks = Watermarks()
    assert set(send_again(marks, pace=30, count=1000)) == {Arrival.LATE}
    assert marks.observe("a", "h", 1000 * SECOND, 3000 * SECOND).arrival is Arrival.ON_TIME


def test_a_clock_that_was_set_back_goes_on_as_fast_as_ours() -> None:
    """After fifty events at our own pace the watermark begins anew; from then on they are in time."""
    arrivals = send_again(Watermarks(), pace=1)
    assert arrivals.index(Arrival.SET_BACK) == 49
    assert set(arrivals[50:]) == {Arrival.ON_TIME}


@pytest.mark.parametrize(("payload", "version"), [(b"\xc1broken", 1), (b"", 2)])
def test_saved_clocks_that_cannot_be_read_are_refused(payload: bytes, version: int) -> None:
    """Broken bytes or another version: a sentence that names the host, and nothing is taken over."""
    marks = Watermarks()
    with pytest.raises(ArtifactMismatch, match="of h"):
        marks.load_host("h", payload, version)
    assert marks.hosts == {}
