"""BERT's verdict beside the rules', and the alert that only BERT raises."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.state import PartitionState
from services.logbert.pipeline import NoAliases
from tests.unit.logbert.berts import WORDS, Broken, Frequencies, make_bert
from tests.unit.logbert.streams import (
    SETTINGS,
    START,
    Reader,
    make_error,
    make_record,
    numbered,
    steady,
)

NOVA = "service:nova-api@c1"


def odd(seconds: range, **changes: Any) -> list[dict[str, Any]]:
    """Harmless INFO lines that hardly ever come."""
    return [make_record(second, body="odd thing", raw_line=f"{second} odd", **changes) for second in seconds]


def story() -> list[dict[str, Any]]:
    """Normal for 90 s, ten seconds of odd lines without any error, normal again; keystone says its own throughout."""
    nova = [*steady(range(90), ["nova-api"]), *odd(range(90, 100)), *steady(range(100, 140), ["nova-api"])]
    return numbered([*nova, *steady(range(140), ["keystone"])])


WARM = numbered(steady(range(90)))


def test_an_alert_that_only_bert_raises_says_so() -> None:
    """Two very unlikely windows in a row: which lines, what was expected, and that no rule saw it."""
    reader = Reader(bert=make_bert()).read(story())
    firing, resolved = reader.alerts
    assert reader.life == [(NOVA, "unlikely_sequence", "firing"), (NOVA, "unlikely_sequence", "resolved")]
    assert (firing["detector"], firing["labels"]["detectors"]) == ("log.bert", "log.bert")
    assert "Only BERT sees it; no rule does." in firing["reason"]
    assert "90 odd" in firing["reason"]
    assert "all is well" in firing["reason"]
    assert {piece["raw_line"] for piece in firing["evidence"]} <= {f"{second} odd" for second in range(90, 100)}
    assert firing["starts_at"] == START + 90_000_000
    assert resolved["alert_id"] == firing["alert_id"]


def test_one_unlikely_window_is_not_enough() -> None:
    """Five odd lines fill one window; alone BERT is patient."""
    records = numbered([*steady(range(92), ["nova-api"]), *odd(range(92, 97)), *steady(range(97, 120), ["nova-api"])])
    assert Reader(bert=make_bert()).read(records).alerts == []


def test_bert_alone_can_be_switched_off() -> None:
    """MOSELLE_LOGBERT_BERT_ALONE_WINDOWS=0."""
    quiet = SETTINGS.model_copy(update={"bert_alone_windows": 0})
    assert Reader(quiet, bert=make_bert()).read(story()).alerts == []


def test_what_the_warm_up_showed_is_normal() -> None:
    """An entity that wrote odd lines from the start is not told off for it."""
    records = numbered([*steady(range(140)), *odd(range(5, 15)), *odd(range(90, 100))])
    assert Reader(bert=make_bert()).read(records).alerts == []


@pytest.mark.parametrize(("body", "verdict"), [("odd thing", "anomalous"), ("all is well", "normal")])
def test_the_verdict_stands_beside_the_rules(body: str, verdict: str) -> None:
    """An ERROR alerts by rule; BERT judges the lines before it and says so, either way."""
    before = [make_record(90 + n / 10, body=body) for n in range(5)]
    error = make_error(91, source_offsets=[900])
    [alert] = Reader(bert=make_bert()).read(WARM).read(numbered(before)).read([error]).alerts
    labels = alert["labels"]
    assert (alert["detector"], labels["bert_verdict"]) == ("log.rules", verdict)
    assert (float(labels["bert_score"]) > float(labels["bert_threshold"])) is (verdict == "anomalous")
    assert f"(score {labels['bert_score']}, threshold 0.5000)." in alert["reason"]
    assert "Only BERT" not in alert["reason"]
    assert ("log.bert" in labels["detectors"]) is (verdict == "anomalous")
    assert alert["model_version"] == "rules-1+bert-v1"


def test_bert_does_not_hold_the_rules_alert_open() -> None:
    """Odd lines go on after the error; the alert ends when the rules' quiet time is over."""
    nova = [*steady(range(90), ["nova-api"]), make_error(90), *odd(range(91, 130))]
    records = numbered([*nova, *steady(range(130), ["keystone"])])
    reader = Reader(bert=make_bert()).read(records)
    assert [status for _, _, status in reader.life][:2] == ["firing", "resolved"]
    assert reader.alerts[1]["ends_at"] == START + 90_000_000


def test_a_program_that_bert_does_not_know_is_not_scored() -> None:
    """More than half of its words were unknown while it warmed up: no verdict, and the reason says why."""
    records = [make_record(second, body=f"some {'x' * (second % 7)} thing") for second in range(90)]
    bert = make_bert()
    reader = Reader(bert=bert).read(numbered(records))
    num_run = bert.scorer.num_run
    reader.read([make_record(90 + n / 20, body=f"new {'y' * n}", source_offsets=[500 + n]) for n in range(20)])
    [alert] = reader.read([make_error(91)]).alerts
    assert bert.scorer.num_run == num_run
    assert alert["labels"]["bert_verdict"] == "not_scored"
    assert "BERT did not score this: it knows too few of this program's templates" in alert["reason"]


def test_a_network_without_numbers_is_no_verdict() -> None:
    """NaN: the rules go on, BERT says nothing, nothing stops."""
    reader = Reader(bert=make_bert(kind=Broken)).read(story()).read([make_error(141, source_offsets=[900])])
    [alert] = reader.alerts
    assert (alert["labels"]["bert_verdict"], alert["labels"]["bert_score"]) == ("not_scored", "0.0000")


def test_without_an_artifact_there_is_no_verdict() -> None:
    """MOSELLE_LOGBERT_ARTIFACT=none."""
    [alert] = Reader().read(steady(range(90))).read([make_error(91)]).alerts
    assert not [label for label in alert["labels"] if label.startswith("bert")]
    assert "BERT" not in alert["reason"]
    assert alert["model_version"] == "rules-1"


def test_repeated_lines_count_once() -> None:
    """A shipper that sends a line again makes no window of it."""
    again = [record for record in odd(range(90, 92), source_offsets=[7]) for _ in range(6)]
    assert Reader(bert=make_bert()).read(WARM).read(again).alerts == []


def test_lines_of_another_file_are_another_sequence() -> None:
    """Odd lines spread over three files of an entity fill no two windows of one; the alert names the file."""
    files = [f"c1|/var/log/nova-compute-{n}.log.gz" for n in range(3)]
    spread = [record for n, file in enumerate(files) for record in odd(range(90 + 5 * n, 95 + 5 * n), source_id=file)]
    calm = [make_record(second + 0.5, source_id=file) for second in range(120) for file in files]
    few = [record for record in calm if record["event_time"] < START + 90_000_000]
    assert "unlikely_sequence" not in str(Reader(bert=make_bert()).read(numbered([*few, *spread])).life)
    one = [make_record(100 + n / 50, body="odd thing", source_id=files[2]) for n in range(12)]
    [alert] = Reader(bert=make_bert()).read(numbered([*calm, *one])).alerts[:1]
    assert alert["labels"]["members"] == "nova-compute-2"


def test_a_rule_names_the_file_too() -> None:
    """The member is the log file's name without path and endings."""
    error = make_error(91, source_id="c1|/var/log/nova-compute-3.log.gz")
    [alert] = Reader().read(steady(range(90))).read([error]).alerts
    assert alert["labels"]["members"] == "nova-compute-3"


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(0, 250), max_size=8), restarts=st.sets(st.integers(0, 8)))
def test_batches_and_restarts_change_nothing(cuts: list[int], restarts: set[int]) -> None:
    """However the stream is cut into batches, and wherever the process is killed between them: the same records."""
    records = [*story(), *numbered([make_error(141), *odd(range(142, 150))])]
    whole = Reader(bert=make_bert()).read(records)
    reader = Reader(bert=make_bert())
    bounds = [0, *sorted(min(place, len(records)) for place in cuts), len(records)]
    for number, (begin, end) in enumerate(pairwise(bounds)):
        if number in restarts:
            reader.restart()
        reader.read(records[begin:end])
    assert _plain(reader) == _plain(whole)


def _plain(reader: Reader) -> list[dict[str, Any]]:
    return [{**alert, "published_at": 0} for alert in reader.alerts]


def test_windows_of_another_artifact_begin_anew() -> None:
    """After a new artifact is put in place its numbers mean other words; the rules' past stays."""
    first = Reader(bert=make_bert()).read(numbered([*WARM, *odd(range(90, 95))]))
    second = Reader(bert=make_bert({"odd thing": 0.9, "all is well": 0.1}, version="v2"))
    second.state = PartitionState(dict(first.state.items()))
    second.restart()
    more = [make_record(95 + n / 10, body="odd thing", source_offsets=[500 + n]) for n in range(20)]
    assert second.read(more).alerts == []
    assert second.read([make_error(98, source_offsets=[900])]).alerts[0]["model_version"] == "rules-1+bert-v2"


def test_a_batch_goes_through_the_network_together() -> None:
    """A hundred windows of a batch cost one call for every 64 distinct ones."""
    words = {**WORDS, **{f"word {'x' * n}": 0.01 for n in range(50)}}
    runtime = Frequencies(list(words.values()))
    bert = make_bert(words, lambda _: runtime)
    reader = Reader(bert=bert).read([make_record(1, source_offsets=[999])])
    runtime.calls.clear()
    reader.read([make_record(2 + n / 10, body=f"word {'x' * (n * n % 50)}", source_offsets=[n]) for n in range(200)])
    assert len(runtime.calls) == 1


def test_a_text_that_is_not_there_yet_is_read_at_once() -> None:
    """The first event of a template asks the templates' topic on, once for each template."""

    class Texts(NoAliases):
        num_refreshed = 0

        def refresh(self) -> None:
            self.num_refreshed += 1

        def forms(self, template_id: str) -> list[str]:
            return ["all is well"] if self.num_refreshed and template_id == "t-new" else []

    texts = Texts()
    reader = Reader(bert=make_bert(), aliases=texts)
    for number in range(30):
        ids = ("t-new", "t-never")
        reader.read([make_record(number, body=f"x{number}", template_id=name, source_offsets=[number]) for name in ids])
    assert texts.num_refreshed == 1


def test_the_state_stays_small() -> None:
    """Fifteen hundred long lines of forty files later, an entity's state is still far below what Kafka takes."""
    reader = Reader(bert=make_bert())
    records = [
        make_record(n / 100, source_id=f"c1|/f{n % 40}.log", raw_line="x" * 5000, source_offsets=[n])
        for n in range(1500)
    ]
    reader.read(records)
    assert max(len(saved.payload) for _, saved in reader.state.items()) < 100_000
