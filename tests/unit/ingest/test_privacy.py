"""Personal data in what ingest writes: events, templates, samples, state."""

from typing import Any

import orjson
import pytest

from services.common.errors import SettingsInvalid
from services.common.settings import read_settings
from services.ingest.core.access import HttpAccess
from services.ingest.core.lines import Origin, ParsedLine
from services.ingest.core.privacy import Privacy, make_privacy
from services.ingest.core.pseudonyms import KINDS, Pseudonyms
from services.ingest.settings import IngestSettings
from tests.unit.ingest.conftest import Harness, fluent_bit
from tests.unit.ingest.test_planted_secrets import Watched
from tests.unit.ingest.wrappings import LOGS

KEY = "k" * 40
ON = {"mask_personal": "on", "mask_key": KEY}
HOSTS = ON | {"mask_hosts": True}
USER_ID, PROJECT_ID = "64152ad4d385428aa8351edfea9480a2", "cc23bb66f3264d4c8c07647572cec49e"
HEAD = f"2026-11-21 06:12:12.862 24053 ERROR nova.api [None req-a {USER_ID} {PROJECT_ID} - - default default] "
REPEATED = "2026-11-21 06:12:12.862 24053 ERROR nova.api "
PERSONAL_TEXT = "user=bobby from 10.11.12.13 2001:db8::77 fa:16:3e:aa:bb:cc bob.x@example.org"
PLANTED = ("bobby", "10.11.12.13", "2001:db8::77", "fa:16:3e:aa:bb:cc", "bob.x@example.org")


def of(kind: str, value: str) -> str:
    return Pseudonyms(KEY.encode()).of(kind, value)


@pytest.mark.parametrize("shape", LOGS)
def test_planted_personal_data_is_nowhere(shape: str) -> None:
    """In no topic, template or state, whatever the shape; and the event is there."""
    ingest = Watched(sequences=True, **HOSTS)
    ingest.send(LOGS[shape](PERSONAL_TEXT))
    ingest.wait(60)
    assert [value for value in PLANTED if ingest.shows(value)] == []
    assert of("ip", "10.11.12.13") in repr(ingest.events)


def test_ids_of_an_event_are_replaced_wherever_they_stand(make_ingest: type[Harness]) -> None:
    """In the context block, the fields and the text; lines that follow do not say whose they are, and are told."""
    ingest = make_ingest(**ON)
    lines = [f"{HEAD}No quota for {USER_ID}", f"{REPEATED}Traceback (most recent call last):",
             f"{REPEATED}QuotaError: project {PROJECT_ID}", f"of {USER_ID} too"]  # fmt: skip
    for line in lines:
        ingest.send(fluent_bit(line))
    ingest.wait(60)
    (event,) = ingest.events
    user, project = of("user_id", USER_ID), of("project_id", PROJECT_ID)
    assert (event["user_id"], event["project_id"]) == (user, project)
    assert event["body"] == f"No quota for {user}"
    assert (event["exception"]["type"], event["request_id"]) == ("QuotaError", "req-a")
    assert USER_ID not in repr(ingest.written)
    assert PROJECT_ID not in repr(ingest.written)


def test_hosts_stay_without_their_own_setting(make_ingest: type[Harness]) -> None:
    """`on` changes no entity, not even one that is called by its address."""
    ingest = make_ingest(**ON)
    ingest.send(fluent_bit("on controller-1", host="10.0.0.5"))
    (event,) = ingest.events
    assert (event["entity_id"], event["host_name"], event["body"]) == (
        "service:nova-api@10.0.0.5", "10.0.0.5", "on controller-1",
    )  # fmt: skip


def test_hosts_become_pseudonyms_everywhere(make_ingest: type[Harness]) -> None:
    """Entity, parents, source and text agree, in logs and in samples; a program and a unit stay readable."""
    ingest = make_ingest(**HOSTS)
    ingest.send(fluent_bit("controller-1.example.org and controller-1:80 are one"))
    tags = {"host": "controller-1", "service": "nova-api"}
    metric = {"name": "up", "tags": tags, "fields": {"value": 1}, "timestamp": 1795241380}
    ingest.send(orjson.dumps({"metrics": [metric]}), topic="metrics.raw")
    (event,), (sample,) = ingest.events, ingest.of("metrics.samples.v1")
    host = of("host_name", "controller-1")
    assert event["entity_id"] == sample["entity_id"] == f"service:nova-api@{host}"
    assert event["parent_entity_ids"] == sample["parent_entity_ids"] == [f"host:{host}"]
    assert event["source_id"] == f"{host}|/var/log/nova/nova-api.log"
    assert sample["series"] == [f'up{{host="{host}",service="nova-api"}}']
    assert "controller-1" not in repr(ingest.written)


def test_every_field_of_a_line_is_masked_or_needs_no_mask() -> None:
    """A new field has to be put into one of the two."""
    planted, host = "10.11.12.13", "host-9"
    texts = {name: planted for name, kind in Origin.__annotations__.items() if kind is str} | {"host": host}
    origin = Origin(**texts | {"entity": f"service:a@{host}"})
    untouched = {
        "shape", "event_time", "event_time_source", "stamp", "has_header", "has_context", "is_held", "process_id",
        "severity_text", "severity_number", "logger", "program", "request_id", "global_request_id", "instance_id",
        "pod_id", "exception_type",
    }  # fmt: skip
    masked = {
        "text": planted, "body": planted, "user_id": planted, "project_id": planted, "template": planted,
        "http": HttpAccess("GET", f"/{planted}", 200, None), "parameters": (planted,), "traceback": (planted,),
        "attributes": {"a": planted}, "exception_message": planted,
    }  # fmt: skip
    assert untouched | set(masked) == set(ParsedLine.__struct_fields__)
    line = ParsedLine("plain", 0, "line", **masked)
    shown = repr(Privacy(KINDS, KEY.encode()).parsed(origin, line))
    assert host not in shown
    assert shown.count(planted) == shown.count(f"pod='{planted}'") + shown.count(f"stream='{planted}'") == 2


def test_streams_stay_apart() -> None:
    """What tells sources apart, other than their hosts, is kept."""
    privacy = Privacy(KINDS, KEY.encode())
    origin = Origin("h1", "/a", pod="n/p", stream="stderr")
    assert privacy.origin(origin)._replace(host="h1") == origin


def test_a_mask_keeps_templates(make_ingest: type[Harness]) -> None:
    """A pseudonym is a variable as its value was: who switches it on keeps the templates of such lines."""
    lines = ["Connected to 10.0.0.7:5672 as 64152ad4d385428aa8351edfea9480a2", "mac fa:16:3e:aa:bb:cc on port 3"]
    ids = []
    for settings in ({}, ON):
        ingest = make_ingest(**settings)
        ingest.send(*lines)
        ids.append([event["template_id"] for event in ingest.events])
    assert ids[0] == ids[1]


def test_a_line_in_pieces_is_masked_before_it_is_saved(make_ingest: type[Harness]) -> None:
    """An address that was cut is one again; what was saved meanwhile held at most half of it."""
    ingest = Watched(**ON)
    stamp = "2026-11-21T06:12:12.862Z stdout"
    ingest.send(f"{stamp} P a 10.11.12.14 b 10.11.", key=b"h|f")
    ingest.send(f"{stamp} F 12.13 c", key=b"h|f")
    ingest.wait(60)
    assert ingest.events[0]["body"] == f"a {of('ip', '10.11.12.14')} b {of('ip', '10.11.12.13')} c"
    assert not ingest.shows("10.11.12.14")
    assert not ingest.shows("10.11.12.13")


def test_fields_may_be_named(make_ingest: type[Harness]) -> None:
    """What no rule knows can be told by its name: attributes and labels."""
    ingest = make_ingest(**ON, mask_fields={"customer": "user_id"})
    ingest.send("cpu,customer=ACME\\ Ltd,host=h1 value=1 1795241380000000000", topic="metrics.raw")
    (sample,) = ingest.of("metrics.samples.v1")
    assert sample["series"] == [f'cpu{{customer="{of("user_id", "ACME Ltd")}",host="h1"}}']


def test_entities_keep_their_form() -> None:
    """Only the host in them is replaced; pods and instances have names of their own."""
    privacy = Privacy(KINDS, KEY.encode())
    host = of("host_name", "c1")
    wanted = {
        "service:nova-api@c1": f"service:nova-api@{host}", "host:c1": f"host:{host}", "node:c1": f"node:{host}",
        "link:c1-c2": f"link:{of('host_name', 'c1-c2')}", "pod:ns/p": "pod:ns/p", "instance:x": "instance:x",
        "host:unknown": "host:unknown", "odd": "odd", "host:10.0.0.1": f"host:{of('ip', '10.0.0.1')}",
    }  # fmt: skip
    assert {name: privacy.entity(name) for name in wanted} == wanted


def test_json_is_masked_by_the_names_of_its_fields() -> None:
    """Numbers and what is nobody's stay."""
    record = {
        "user": "bob", "tenant_name": "t", "host": "c1", "n": 1, "request_id": "req-a", "user_id": "",
        "entity_id": "service:a@c1", "parent_entity_ids": ["host:c1"], "source_id": "c1|/a", "x": ["bob@x.org", None],
    }  # fmt: skip
    masked = Privacy(KINDS, KEY.encode()).value(record)
    host = of("host_name", "c1")
    assert masked == record | {
        "user": of("user_id", "bob"), "tenant_name": of("project_id", "t"), "host": host,
        "entity_id": f"service:a@{host}", "parent_entity_ids": [f"host:{host}"], "source_id": f"{host}|/a",
        "x": [of("email", "bob@x.org"), None],
    }  # fmt: skip


def test_an_object_is_what_its_name_says() -> None:
    """`id` and `name` in it are its own; other fields in it are not. A name may stand beside its value."""
    record = {"user": {"id": "u1", "domain": {"id": "d1"}}, "host": {"name": "c1", "os": "x"}, "n": {"id": "i1"}}
    attribute = {"key": "user.id", "value": {"stringValue": "u1"}}
    masked = Privacy(KINDS, KEY.encode()).value(attribute)
    assert masked == {"key": "user.id", "value": {"stringValue": of("user_id", "u1")}}
    assert Privacy(KINDS, KEY.encode()).value(record) == {
        "user": {"id": of("user_id", "u1"), "domain": {"id": "d1"}},
        "host": {"name": of("host_name", "c1"), "os": "x"}, "n": {"id": "i1"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({}, None), ({"mask_personal": "off"}, None), ({"mask_personal": '["ip","email"]'}, {"ip", "email"}),
        ({"mask_hosts": True}, {"host_name"}), ({"mask_personal": "on"}, set(KINDS) - {"host_name"}),
    ],
)  # fmt: skip
def test_what_the_settings_want(settings: dict[str, Any], kinds: set[str] | None) -> None:
    """Off, on, a list of kinds; hosts by a setting of their own."""
    privacy = make_privacy(IngestSettings(**settings, mask_key=KEY))
    assert (None if privacy is None else set(privacy.personal.kinds)) == kinds


def test_wrong_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything runs, and the key is in no message."""
    monkeypatch.setenv("MOSELLE_INGEST_MASK_PERSONAL", '["ips"]')
    with pytest.raises(SettingsInvalid, match="MOSELLE_INGEST_MASK_PERSONAL"):
        read_settings(IngestSettings)
    monkeypatch.setenv("MOSELLE_INGEST_MASK_PERSONAL", "on")
    monkeypatch.setenv("MOSELLE_INGEST_MASK_KEY", "hunter2")
    with pytest.raises(SettingsInvalid, match="7 bytes, wanted at least 32") as caught:
        make_privacy(read_settings(IngestSettings))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsInvalid, match="no kind of personal data"):
        Privacy(["ip"], KEY.encode(), fields={"a": "b"})
