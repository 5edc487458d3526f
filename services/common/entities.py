"""What an entity is called: the one table from labels to `entity_id`.

`entity_id` is `kind:name`: `service:nova-api@controller-1`, `host:compute-1`, `instance:UUID`, `pod:ns/name`,
`node:n1`, `link:a-b`.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

#: `nova-compute-3` runs the program nova-compute; `neutron-l3-agent` keeps its digits because they are not last.
_ORDINAL = re.compile(r"[-_.]\d+$")
#: What stands around a program's name in a log file's name, not in the program's.
_FILE_ENDING = re.compile(r"(?:\.(?:json|log|txt|gz|xz|err|out|\d+))+$")
_ACCESS_SUFFIX = re.compile(r"[-_](?:uwsgi|wsgi|access)$")

#: Other words for the same program.
_SAME = {"placement": "placement-api", "mysqld": "mariadb", "mysql": "mariadb", "rabbitmq-server": "rabbitmq",
         "beam.smp": "rabbitmq", "nova-api-wsgi": "nova-api", "nova-osapi_compute": "nova-api", "glance": "glance-api",
         "neutron-api": "neutron-server", "keystone-public": "keystone", "keystone-admin": "keystone"}  # fmt: skip

#: The kinds of a sample's labels, most specific first. Each label name is as real exporters give it.
INSTANCE_LABELS = ("instance_uuid", "resource_id", "openstack_instance", "uuid", "domain")
SERVICE_LABELS = ("service", "groupname", "service_name", "service.name", "program", "systemd_unit", "app")
HOST_LABELS = ("host", "host.name", "host_name", "hostname", "nodename", "k8s.node.name", "instance")


#: What a machine's own exporters say is of the machine, whatever pod, service or job they run as.
MACHINE_METRICS = ("node_", "kubelet_", "smartmon_", "ipmi_", "problem_")
#: kube-state-metrics speaks of others: of the host in its label `node`, never of the one where it runs itself.
KUBE_METRICS = "kube_"
KUBE_NODE_METRICS = "kube_node_"


class Entity(NamedTuple):
    """An entity and what it belongs to, nearest first."""

    entity_id: str
    parent_entity_ids: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.entity_id.partition(":")[0]

    @property
    def name(self) -> str:
        return self.entity_id.partition(":")[2]


def program_name(name: str) -> str:
    """The program behind a process, file or unit name: without path, file ending, ordinal and access-log suffix.

    >>> program_name("/var/log/nova/nova-compute-3.log")
    'nova-compute'
    >>> program_name("placement-uwsgi.log")
    'placement'
    """
    base = name.replace("\\", "/").rstrip("/").rpartition("/")[2] or name
    base = _FILE_ENDING.sub("", base) or base
    base = _ORDINAL.sub("", base.removesuffix(".service")) or base
    return _ACCESS_SUFFIX.sub("", base) or base


def canonical_program(name: str) -> str:
    """One name for programs that are called by several: `placement` under uWSGI is placement-api."""
    program = program_name(name)
    return _SAME.get(program, program)


def host_name(name: str) -> str:
    """A host as labels name it, without the port that Prometheus adds: `controller-1:9100` is `controller-1`."""
    host, colon, port = name.rpartition(":")
    return host.strip("[]") if colon and port.isdigit() and host else name


def host_entity(host: str) -> Entity:
    """`host:<name>`."""
    return Entity(f"host:{host_name(host)}")


def service_entity(program: str, host: str) -> Entity:
    """`service:<program>@<host>`, with its host as parent. `program` is taken as it is: see `program_name`."""
    return Entity(f"service:{program}@{host_name(host)}", (f"host:{host_name(host)}",))


def split_service(entity_id: str) -> tuple[str, str] | None:
    """(program, host) of a service's entity_id, else None."""
    kind, _, name = entity_id.partition(":")
    program, at, host = name.rpartition("@")
    return (program, host) if kind == "service" and at else None


def sample_entity(labels: Mapping[str, str], metric: str = "", default_host: str = "unknown") -> Entity:
    """The most specific of pod, instance, link, service, host that a sample's labels name.

    Some metrics say more about whose they are than their labels do: see MACHINE_METRICS and KUBE_METRICS.
    """
    if metric.startswith(KUBE_METRICS) and labels.get("node"):
        labels = {**{k: v for k, v in labels.items() if k not in HOST_LABELS}, "host": labels["node"]}
        if metric.startswith(KUBE_NODE_METRICS):
            return host_entity(labels["host"])
    elif metric.startswith(KUBE_METRICS) and labels.get("pod"):
        return Entity(f"pod:{labels.get('namespace') or 'default'}/{labels['pod']}")
    host = next((host_name(labels[name]) for name in HOST_LABELS if labels.get(name)), host_name(default_host))
    if metric.startswith(MACHINE_METRICS):
        return Entity(f"host:{host}")
    parents = (f"host:{host}",)
    pod = labels.get("pod") or labels.get("k8s.pod.name") or labels.get("pod_name")
    if pod:
        namespace = labels.get("namespace") or labels.get("k8s.namespace.name") or "default"
        return Entity(f"pod:{namespace}/{pod}", parents)
    for name in INSTANCE_LABELS:
        if labels.get(name):
            return Entity(f"instance:{labels[name]}", parents)
    if labels.get("link"):
        return Entity(f"link:{labels['link']}", parents)
    for name in SERVICE_LABELS:
        if labels.get(name):
            return service_entity(program_name(labels[name]), host)
    return Entity(f"host:{host}")


def series_name(metric: str, labels: Mapping[str, str]) -> str:
    """`name{k="v",..}` with sorted labels, escaped as Prometheus does; the bare name when there are none."""
    if not labels:
        return metric
    inner = ",".join(f'{key}="{_escape(labels[key])}"' for key in sorted(labels))
    return f"{metric}{{{inner}}}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
