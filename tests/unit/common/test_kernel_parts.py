"""Settings, health, state and entities."""

import json
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from services.common.clock import FakeClock
from services.common.entities import program_name, sample_entity, series_name, service_entity, split_service
from services.common.errors import SettingsInvalid
from services.common.http import Health, HealthServer, Page
from services.common.settings import CommonSettings, read_settings
from services.common.state import PartitionState, Saved


def test_a_wrong_setting_names_variable_value_and_want(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one sentence holds what a user needs to mend it."""
    monkeypatch.setenv("MOSELLE_BATCH_RECORDS", "none")
    with pytest.raises(SettingsInvalid, match=r"MOSELLE_BATCH_RECORDS='none'.*integer.*docs/settings\.md"):
        read_settings(CommonSettings)


def test_a_dsn_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets print as stars."""
    monkeypatch.setenv("MOSELLE_DATABASE_DSN", "postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(read_settings(CommonSettings))


def get(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def test_health_says_ready_alive_and_why_not() -> None:
    """/readyz follows ready and not_ready, /healthz the loop's beat, other paths are 404."""
    clock = FakeClock()
    health = Health(clock)
    server = HealthServer("127.0.0.1", 0, health)
    assert get(server.port, "/readyz") == (503, json.dumps({"ready": False, "reason": "starting"}).encode())
    health.ready()
    assert get(server.port, "/readyz")[0] == 200
    assert b"moselle_kernel_ready 1.0" in get(server.port, "/metrics")[1]
    clock.advance(4)
    assert b"waiting for Kafka" in get(server.port, "/readyz")[1]
    clock.advance(1000)
    assert [get(server.port, path)[0] for path in ("/healthz", "/nothing")] == [503, 404]
    health.beat()
    assert get(server.port, "/healthz")[0] == 200
    server.close()


def test_a_service_may_serve_pages_of_its_own() -> None:
    """Made anew for each request; what is not there names them all."""
    numbers = iter(range(2))
    pages = {"/sources": lambda: Page("text/plain", b"%d" % next(numbers))}
    server = HealthServer("127.0.0.1", 0, Health(FakeClock()), pages)
    assert [get(server.port, "/sources?x=1"), get(server.port, "/sources")] == [(200, b"0"), (200, b"1")]
    assert b"/metrics, /sources" in get(server.port, "/nothing")[1]
    server.close()


def test_a_taken_port_is_named_with_the_remedy() -> None:
    """The sentence names the address and MOSELLE_HTTP_PORT."""
    server = HealthServer("127.0.0.1", 0, Health(FakeClock()))
    with pytest.raises(SettingsInvalid, match=rf"127\.0\.0\.1:{server.port}.*MOSELLE_HTTP_PORT"):
        HealthServer("127.0.0.1", server.port, Health(FakeClock()))
    server.close()


def test_state_gives_each_change_once() -> None:
    """Puts and deletes are taken by the kernel once; a key never put needs no tombstone."""
    state = PartitionState({"old": Saved(1, b"1")})
    state.put("new", b"2", version=3)
    state.delete("old")
    state.delete("never")
    assert state.take_changes() == [("new", Saved(3, b"2")), ("old", None)]
    assert state.take_changes() == []


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("nova-compute-3.log", "nova-compute"),
        ("/var/log/neutron/neutron-l3-agent.log.1", "neutron-l3-agent"),
        ("placement-uwsgi.log.gz", "placement"),
        ("ovs-vswitchd", "ovs-vswitchd"),
        ("sshd.service", "sshd"),
        ("-1", "-1"),
        ("", ""),
    ],
)
def test_program_names(name: str, program: str) -> None:
    """A program is what its files and processes are named after, without ordinal and endings."""
    assert program_name(name) == program


@pytest.mark.parametrize(
    ("labels", "entity_id"),
    [
        ({"namespace": "ns", "pod": "p", "service": "s", "instance": "h:9100"}, "pod:ns/p"),
        ({"instance_uuid": "u", "host": "h"}, "instance:u"),
        ({"link": "a-b", "host": "h"}, "link:a-b"),
        ({"groupname": "nova-compute-3", "instance": "controller-1:9256"}, "service:nova-compute@controller-1"),
        ({"instance": "controller-1:9100", "cpu": "0"}, "host:controller-1"),
        ({"k8s.node.name": "n1", "instance": "10.0.0.7:9100"}, "host:n1"),
        ({}, "host:unknown"),
    ],
)
def test_a_sample_belongs_to_the_most_specific_entity(labels: dict[str, str], entity_id: str) -> None:
    """Pod before instance, link, service and host."""
    assert sample_entity(labels).entity_id == entity_id


@pytest.mark.parametrize(
    ("metric", "labels", "entity_id", "parents"),
    [
        ("node_load1", {"pod": "exporter-x", "namespace": "m", "service": "s", "instance": "n1:9100"}, "host:n1", ()),
        ("node_memory_numa_MemFree", {"node": "0", "instance": "n1:9100"}, "host:n1", ()),
        ("kube_node_status_allocatable", {"node": "n1", "pod": "ksm", "instance": "ksm:8080"}, "host:n1", ()),
        ("kube_pod_info", {"node": "n1", "pod": "p", "namespace": "ns", "instance": "k:1"}, "pod:ns/p", ("host:n1",)),
        ("kube_pod_created", {"pod": "p", "namespace": "ns", "instance": "ksm:8080"}, "pod:ns/p", ()),
    ],
)
def test_some_metrics_say_whose_they_are(
    metric: str, labels: dict[str, str], entity_id: str, parents: tuple[str, ...]
) -> None:
    """A machine's exporters speak of the machine; kube-state-metrics never of the host where it runs."""
    assert sample_entity(labels, metric) == (entity_id, parents)


def test_series_names_are_canonical() -> None:
    """Labels sorted and escaped, so that one series has one name."""
    assert series_name("m", {"b": 'x"y', "a": "1\\2"}) == 'm{a="1\\\\2",b="x\\"y"}'
    assert series_name("m", {}) == "m"


def test_a_service_names_program_and_host() -> None:
    """service:<program>@<host> can be taken apart again."""
    entity = service_entity("nova-api", "controller-1:8774")
    assert split_service(entity.entity_id) == ("nova-api", "controller-1")
    assert entity.parent_entity_ids == ("host:controller-1",)
    assert split_service("host:compute-1") is None
