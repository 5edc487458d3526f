"""An alert's identity and life."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import alerts
from services.common.alerts import Evidence, Finding, OpenAlert, Subject
from services.common.codec import Codec
from services.common.errors import ArtifactMismatch

SECOND = 1_000_000
SUBJECT = Subject("cloud", "service:nova-api@c1", ("host:c1",), "nova-api")


def make_finding(**changes: object) -> Finding:
    """A finding of some detector; name only what matters."""
    finding = Finding(
        "log.rules", "error_burst", "errors", 100 * SECOND, "warning", 0.6, 0.5, "errors", "more than ever"
    )
    return msgspec.structs.replace(finding, **changes)


def make_alert(**changes: object) -> OpenAlert:
    """An alert that fires at its first event."""
    return alerts.fire(SUBJECT, make_finding(**changes), 101 * SECOND, quiet_seconds=20)


def test_fingerprint_ignores_score_wording_and_start() -> None:
    """The same trouble at another time has the same fingerprint and another id."""
    one, two = make_alert(), make_alert(score=0.9, summary="other", starts_at=900 * SECOND)
    assert one.fingerprint == two.fingerprint
    assert one.alert_id != two.alert_id
    assert len(one.alert_id) == len(one.fingerprint) == 32


@given(st.lists(st.text(max_size=5), min_size=4, max_size=4), st.lists(st.text(max_size=5), min_size=4, max_size=4))
def test_fingerprints_differ_when_any_part_differs(one: list[str], two: list[str]) -> None:
    """No two lists of parts run together into one text."""
    assert (alerts.fingerprint(*one) == alerts.fingerprint(*two)) == (one == two)


def test_a_record_fits_its_schema() -> None:
    """Encoded and decoded by alerts.v1, a record comes back as it was."""
    codec = Codec()
    alert = make_alert(evidence=(Evidence(100 * SECOND, SUBJECT.entity_id, "a line", source_offsets=(1, 2)),))
    record = alerts.alert_record(alert, "firing", published_at=5)
    assert codec.decode(codec.encode("alerts.v1", record)) == record


def test_the_program_is_named_until_another_is_known() -> None:
    """`service` falls back to the entity's own program."""
    assert alerts.alert_record(make_alert(), "firing", 0)["service"] == "nova-api"
    assert alerts.alert_record(make_alert(service="mariadb"), "firing", 0)["service"] == "mariadb"


def test_more_of_the_same_is_no_update() -> None:
    """An equally bad finding is counted and not published."""
    alert = make_alert()
    assert not alerts.join(alert, [make_finding(score=0.65)], 102 * SECOND)
    assert (alert.revision, alert.num_bad) == (0, 2)


@pytest.mark.parametrize("worse", [{"severity": "critical"}, {"score": 0.8}, {"service": "mariadb"}])
def test_worse_or_better_known_is_an_update(worse: dict[str, object]) -> None:
    """A higher severity, a clearly higher score or a named culprit makes a revision."""
    alert = make_alert()
    assert alerts.join(alert, [make_finding(**worse)], 102 * SECOND)
    assert alert.revision == 1


def test_updates_are_bounded() -> None:
    """However much worse it gets, there are at most MAX_REVISIONS updates."""
    alert = make_alert(score=0.0)
    published = sum(alerts.join(alert, [make_finding(score=n * 0.16)], 102 * SECOND) for n in range(1, 100))
    assert published == alerts.MAX_REVISIONS


def test_a_second_rule_joins_and_keeps_the_identity() -> None:
    """What another rule sees of the same entity belongs to the open alert."""
    alert = make_alert()
    before = (alert.alert_id, alert.finding.rule, alert.starts_at)
    alerts.join(alert, [make_finding(rule="silence", severity="critical")], 102 * SECOND)
    assert (alert.alert_id, alert.finding.rule, alert.starts_at) == before
    assert alerts.alert_record(alert, "updated", 0)["labels"]["rules"] == "error_burst,silence"


def test_evidence_is_kept_once_and_bounded() -> None:
    """The first ten pieces, repeated ones left out."""
    pieces = tuple(Evidence(n, "e", f"line {n}", source_offsets=(n,)) for n in range(30))
    alert = make_alert(evidence=(*pieces[:1], *pieces))
    assert [piece.raw_line for piece in alert.evidence] == [f"line {n}" for n in range(10)]


def test_resolved_after_quiet_by_the_sources_watermark() -> None:
    """Twenty seconds of the source's own time without anything bad end it."""
    alert = make_alert()
    assert not alerts.is_quiet(alert, 120 * SECOND)
    assert alerts.is_quiet(alert, 121 * SECOND)
    alerts.resolve(alert, 121 * SECOND)
    record = alerts.alert_record(alert, "resolved", 0, "source_silent:")
    assert (record["revision"], record["ends_at"]) == (1, 101 * SECOND)
    assert record["reason"].startswith("source_silent")


def test_trouble_that_returns_must_be_quiet_for_twice_as_long() -> None:
    """The same templates soon after the last resolution: the quiet time doubles; others: it does not."""
    piece = Evidence(100 * SECOND, "e", "line", template_id="t1")
    first = make_alert(evidence=(piece,))
    last = alerts.resolve(first, 121 * SECOND)
    again = alerts.fire(SUBJECT, make_finding(evidence=(piece,)), 140 * SECOND, 20, last)
    other = alerts.fire(SUBJECT, make_finding(), 140 * SECOND, 20, last)
    assert (again.quiet_seconds, other.quiet_seconds) == (40, 20)


def test_state_survives_encoding_and_refuses_other_versions() -> None:
    """What was saved comes back; what was not saved by us is refused with a sentence."""
    alert = make_alert(evidence=(Evidence(1, "e", "x"),))
    assert alerts.decode_alert(alerts.encode_alert(alert)) == alert
    with pytest.raises(ArtifactMismatch):
        alerts.decode_alert(alerts.encode_alert(alert), version=99)
    with pytest.raises(ArtifactMismatch):
        alerts.decode_alert(b"\xc1 no state")


def test_cloudevent_headers_name_the_record() -> None:
    """The id is what consumers know a record by."""
    record = alerts.alert_record(make_alert(), "firing", 0)
    headers = dict(alerts.cloudevent_headers(record))
    assert headers["ce_id"] == f"{record['alert_id']}:firing:0".encode()
    assert set(headers) == {"ce_id", "ce_source", "ce_type", "ce_specversion", "ce_time", "content-type"}
    assert headers["ce_time"] == b"1970-01-01T00:01:41.000000Z"


def test_a_new_life_never_takes_the_id_of_an_old_one() -> None:
    """A late event that counts from the same start, after the alert was resolved, makes another alert."""
    first = make_alert()
    last = alerts.resolve(first, 130 * SECOND)
    again = alerts.fire(SUBJECT, make_finding(), 140 * SECOND, 20, last)
    assert again.fingerprint == first.fingerprint
    assert again.alert_id != first.alert_id
    assert again.starts_at > first.starts_at
