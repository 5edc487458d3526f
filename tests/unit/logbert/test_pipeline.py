"""What the stage decides, story by story."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.broker.abstract import Record, TopicPartition
from services.common.stage import Outputs
from services.common.state import PartitionState
from tests.unit.logbert.streams import (
    PARTITION,
    SETTINGS,
    START,
    Reader,
    make_access,
    make_error,
    make_record,
    make_warning,
    numbered,
    steady,
)

NOVA, KEYSTONE = "service:nova-api@c1", "service:keystone@c1"
WARM = steady(range(90))


def test_an_error_alerts_in_the_call_that_reads_it() -> None:
    """The first ERROR of an entity that never had one fires at once, with the guilty line and its offsets."""
    guilty = make_error(90.5, "boom", source_offsets=[77])
    reader = Reader().read(WARM).read([guilty])
    [alert] = reader.alerts
    assert (alert["entity_id"], alert["status"], alert["revision"]) == (NOVA, "firing", 0)
    assert alert["evidence"][0]["raw_line"] == guilty["raw_line"]
    assert alert["evidence"][0]["source_offsets"] == [77]
    assert alert["starts_at"] == alert["detected_at"] == guilty["event_time"]


def test_the_warm_up_is_quiet() -> None:
    """Nothing alerts while it learns, and what it learnt is normal afterwards."""
    errors = [make_error(second) for second in (10, 30, 50, 75)]
    assert Reader().read(numbered([*WARM, *errors])).alerts == []


def test_more_errors_than_ever_alert() -> None:
    """One error at a time was normal; four within a window are not, and all four are the evidence."""
    normal = numbered([*WARM, *(make_error(second) for second in (10, 30, 50))])
    burst = [make_error(91 + n / 10, source_offsets=[1000 + n]) for n in range(4)]
    [alert] = Reader().read(normal).read(burst).alerts
    assert alert["rule"] == "error_burst"
    assert [piece["source_offsets"] for piece in alert["evidence"]] == [[1000 + n] for n in range(4)]
    assert alert["starts_at"] == burst[0]["event_time"]


def test_an_unseen_warning_alerts_and_a_known_one_does_not() -> None:
    """Only a template that was never there."""
    normal = numbered([*WARM, make_warning(30, "known")])
    reader = Reader().read(normal).read([make_warning(95, "known", source_offsets=[900])])
    assert reader.alerts == []
    reader.read([make_warning(96, "new", source_offsets=[901])])
    assert reader.life == [(NOVA, "unseen_template", "firing")]


def test_a_merged_template_is_known_by_its_new_id() -> None:
    """After templates merged, the new id is no news."""

    class Merged:
        def refresh(self) -> None: ...

        def resolve(self, template_id: str) -> str:
            return {"known": "merged"}.get(template_id, template_id)

        def forms(self, template_id: str) -> tuple[str, ...]:
            return ()

        def close(self) -> None: ...

    reader = Reader(aliases=Merged()).read(numbered([*WARM, make_warning(30, "known")]))
    assert reader.read([make_warning(95, "merged", source_offsets=[900])]).alerts == []


def test_a_source_that_stops_while_its_host_goes_on_alerts() -> None:
    """Keystone speaks every second, then not for ten and more: silence, dated by when it became unusual."""
    reader = Reader().read(WARM).read(steady(range(90, 120), ["nova-api"]))
    [alert] = reader.alerts
    assert (alert["entity_id"], alert["rule"], alert["service"]) == (KEYSTONE, "silence", "keystone")
    assert START + 89_000_000 < alert["starts_at"] < alert["detected_at"] <= START + 101_000_000


def test_silence_ends_when_the_source_speaks_again() -> None:
    """Twenty quiet seconds after it is back, the alert is resolved, and only once."""
    reader = Reader().read(WARM).read(steady(range(90, 120), ["nova-api"])).read(steady(range(120, 160)))
    assert [status for _, _, status in reader.life] == ["firing", "resolved"]


def test_a_source_without_rhythm_is_never_silent() -> None:
    """Three lines in the whole warm-up are no rhythm."""
    rare = [make_record(second, "rare") for second in (5, 20, 40)]
    assert Reader().read(numbered([*steady(range(300)), *rare])).alerts == []


def test_a_pause_of_everything_is_nobodys_silence() -> None:
    """When the shipper stops for five minutes and returns, nothing alerts."""
    assert Reader().read(WARM).read(steady(range(390, 420))).alerts == []


def test_a_surge_of_failures_alerts() -> None:
    """5xx answers, never seen before: the second one within a window."""
    failures = [make_access(95 + n, 503, source_offsets=[900 + n]) for n in range(3)]
    reader = Reader().read(WARM).read(failures)
    assert reader.life[0] == (NOVA, "http_errors", "firing")
    assert len(reader.alerts[0]["evidence"]) == 2


def test_a_few_refusals_are_ordinary() -> None:
    """As many 404 as ever, and a few more by chance, alert nobody."""
    normal = [make_access(second + 0.5, 404) for second in range(0, 60, 3)]
    later = [make_access(second + 0.5, 404) for second in range(100, 130, 2)]
    assert Reader().read(numbered([*steady(range(140)), *normal, *later])).alerts == []


def test_several_rules_make_one_alert() -> None:
    """An unseen ERROR is a burst and a novelty: one alert of the entity, however many rules see it."""
    errors = [make_error(95 + n / 5, f"bad {n}", f"t{n}", source_offsets=[900 + n]) for n in range(8)]
    reader = Reader().read(WARM).read(errors)
    assert len({alert["alert_id"] for alert in reader.alerts}) == 1
    assert [alert["revision"] for alert in reader.alerts] == list(range(len(reader.alerts)))
    assert "unseen_template" in reader.alerts[-1]["labels"]["rules"]


def test_resolved_by_the_entitys_own_time() -> None:
    """Twenty quiet seconds of its own end it; the wall clock has no say."""
    reader = Reader().read(WARM).read([make_error(90, source_offsets=[900])])
    reader.tick(200).read(steady(range(91, 109)))
    assert len(reader.alerts) == 1
    reader.read(steady(range(109, 113)))
    assert [status for _, _, status in reader.life] == ["firing", "resolved"]


def test_resolved_as_source_silent_when_nothing_comes() -> None:
    """After five minutes of wall time without any record the alert ends and says why."""
    reader = Reader().read(WARM).read([make_error(90, source_offsets=[900])])
    reader.tick(299, caught_up=[PARTITION]).tick(2, caught_up=[])
    assert len(reader.alerts) == 1
    reader.tick(0)
    assert reader.alerts[-1]["status"] == "resolved"
    assert reader.alerts[-1]["reason"].startswith("source_silent")


def test_resolved_as_source_silent_when_only_the_host_goes_on() -> None:
    """An entity that has no rhythm and says no more ends after five minutes of its host's time."""
    reader = Reader().read(numbered([*WARM, make_record(30, "rare")]))
    reader.read([make_error(90, program="rare", source_offsets=[900])]).read(steady(range(91, 400)))
    rare = [alert for alert in reader.alerts if alert["entity_id"] == "service:rare@c1"]
    assert [alert["status"] for alert in rare] == ["firing", "resolved"]
    assert rare[-1]["reason"].startswith("source_silent")


def test_an_open_trouble_does_not_teach_itself() -> None:
    """A hundred errors during an alert change nothing: the next one after it fires again."""
    trouble = [make_error(100 + n / 10, source_offsets=[900 + n]) for n in range(100)]
    reader = Reader().read(WARM).read(numbered([*steady(range(90, 200)), *trouble]))
    reader.read([make_error(200, source_offsets=[5000])])
    assert [status for _, _, status in reader.life if status != "updated"] == ["firing", "resolved", "firing"]


def test_the_service_that_misbehaves_is_named() -> None:
    """An error about a refused database connection accuses the database, not the writer."""
    text = "DBConnectionError: (2003, \"Can't connect to MySQL server on '10.0.0.5' (Connection refused)\")"
    [alert] = Reader().read(WARM).read([make_error(90, text)]).alerts
    assert (alert["entity_id"], alert["service"]) == (NOVA, "mariadb")
    assert "mysql" in alert["mentions"]


def test_an_entity_that_appears_late_alerts_on_errors_at_once() -> None:
    """Its WARNING lines are learnt for a short while first."""
    reader = Reader().read(WARM)
    late = [make_warning(91, "w", program="late"), make_error(92, program="late", source_offsets=[901])]
    assert reader.read(late).life == [("service:late@c1", "error_burst", "firing")]


def test_a_new_host_knows_what_its_program_says_elsewhere() -> None:
    """A warning that nova-api on another host wrote while learning is no news on a new host."""
    reader = Reader().read(numbered([*WARM, make_warning(30, "known")]))
    reader.read([make_record(91, host="c2"), make_warning(115, "known", host="c2", source_offsets=[901])])
    assert reader.alerts == []
    reader.read([make_warning(116, "other", host="c2", source_offsets=[902])])
    assert reader.life == [("service:nova-api@c2", "unseen_template", "firing")]


def test_a_host_an_hour_ahead_silences_nobody() -> None:
    """Its records come among the others'; none of the others is called silent, nor is it."""
    others = steady(range(200))
    ahead = steady(range(3600, 3800), host="wild")
    mixed = [record for pair in zip(others, ahead, strict=True) for record in pair]
    assert Reader().read(mixed).alerts == []


def test_a_record_of_another_topic_is_a_dead_letter() -> None:
    """Readable or not, it stops nothing."""
    reader = Reader().read([b"{}", b"\xff", *[]]).read(WARM)
    assert (reader.dead_letters, reader.alerts) == (2, [])


def test_a_caught_up_partition_learns_the_time_from_the_others() -> None:
    """Keystone's partition hears nothing more, nova's goes on: keystone is silent once its partition is read up."""
    reader, other = Reader(), TopicPartition("logs.parsed.v1", 1)
    reader.stage.assign(other, PartitionState())
    for second in range(130):
        reader.read(steady([second], ["keystone"]) if second < 90 else [])
        outputs_of(reader, other, steady([second], ["nova-api"]))
        reader.tick(0, caught_up=[PARTITION, other] if second != 125 else [])
    assert (KEYSTONE, "silence", "firing") in reader.life
    assert all(entity == KEYSTONE for entity, _, _ in reader.life)


def outputs_of(reader: Reader, partition: TopicPartition, records: list[dict[str, Any]]) -> None:
    """Feeds another partition; it shall write nothing."""
    outputs = Outputs(lambda _, record: json.dumps(record).encode())
    batch = [Record(*partition, n, 0, None, json.dumps(record).encode()) for n, record in enumerate(records)]
    reader.stage.process(batch, outputs)
    assert outputs.records == []


def make_story() -> list[dict[str, Any]]:
    """Normal, then errors, refusals, silence, news, late and future records; each with its own offset."""
    errors = [make_error(second, f"e{second}", f"t{second % 3}") for second in (95, 96, 97, 140, 141, 200)]
    refusals = [make_access(120 + n / 4, 503, program="keystone") for n in range(6)]
    every = steady(range(230), ["nova-api", "keystone", "glance-api"])
    gap = range(START + 150_000_000, START + 185_000_000)
    silent = [r for r in every if r["service_name"] != "glance-api" or r["event_time"] not in gap]
    story = numbered([*silent, *errors, *refusals, make_warning(210, "news", program="keystone")])
    story.insert(300, make_error(10, "late", source_offsets=[10_000]))
    story.insert(350, make_record(90_000, source_offsets=[10_001]))
    return story


STORY = make_story()


def keys(reader: Reader) -> list[tuple[str, str, int, int]]:
    """What consumers know the records by, and when they were decided."""
    return [(a["alert_id"], a["status"], a["revision"], a["detected_at"]) for a in reader.alerts]


WHOLE = keys(Reader().read(STORY))


def test_the_story_has_alerts_of_each_kind() -> None:
    """Otherwise the properties below show nothing."""
    rules = {rule for _, rule, _ in Reader().read(STORY).life}
    assert {"error_burst", "http_errors", "silence", "unseen_template"} <= rules


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(STORY)), max_size=12), st.booleans())
def test_batches_and_restarts_change_no_alert(cuts: list[int], restarts: bool) -> None:
    """Wherever the stream is cut, with or without a restart from saved state at each cut: the same records."""
    reader = Reader()
    edges = [0, *sorted(cuts), len(STORY)]
    for begin, end in pairwise(edges):
        reader.read(STORY[begin:end])
        if restarts:
            reader.restart()
    assert keys(reader) == WHOLE


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(STORY) - 1), st.integers(1, 40)), max_size=20))
def test_repeated_events_change_nothing(repeats: list[tuple[int, int]]) -> None:
    """Events that come again, at once or a little later, leave the alerts as they are."""
    stream = list(STORY)
    for index, later in sorted(repeats, reverse=True):
        stream.insert(min(index + later, len(stream)), STORY[index])
    assert keys(Reader().read(stream)) == WHOLE


def test_a_restart_does_not_relearn() -> None:
    """What was learnt before is known after: the known warning is no news, the new one is."""
    reader = Reader().read(numbered([*WARM, make_warning(30, "known")]))
    reader.restart()
    reader.read([make_warning(95, "known", source_offsets=[900]), make_warning(96, "new", source_offsets=[901])])
    assert reader.life == [(NOVA, "unseen_template", "firing")]


def test_the_number_of_entities_is_bounded() -> None:
    """Of more than allowed, those quiet for longest are forgotten, in the saved state too."""
    reader = Reader(SETTINGS.model_copy(update={"max_entities": 10}))
    reader.read([make_record(second, f"p{second}") for second in range(100)])
    assert len([key for key, _ in reader.state.items() if key.startswith("entity|")]) <= 10
