"""What every operator knows: which service a port, an exception class or a word in a log line points to.

General knowledge of the software, not of any capture. Ports: the OpenStack installation guide, "Firewalls and
default ports" (docs.openstack.org/install-guide/firewalls-default-ports.html), and IANA's registry. Exceptions: the
libraries that define them, named beside each. Kubernetes: kubernetes.io/docs/reference/networking/ports-and-protocols/.
"""

import re
from collections.abc import Iterable

from services.logbert.core.events import LogEvent

#: Default port of a service; others listen there only when somebody says so.
PORTS = {
    5000: "keystone", 35357: "keystone",
    8774: "nova-api", 8775: "nova-metadata", 6080: "nova-novncproxy",
    9292: "glance-api", 8778: "placement-api", 8003: "placement-api", 8780: "placement-api",
    9696: "neutron-server", 8776: "cinder-api", 3260: "cinder-volume", 8080: "swift-proxy",
    8004: "heat-api", 8000: "heat-api-cfn", 9876: "octavia-api", 9311: "barbican-api", 6385: "ironic-api",
    8786: "manila-api", 9001: "designate-api", 8041: "gnocchi-api", 8042: "aodh-api", 9511: "magnum-api",
    5671: "rabbitmq", 5672: "rabbitmq", 25672: "rabbitmq", 15672: "rabbitmq",
    3306: "mariadb", 4567: "mariadb", 5432: "postgresql", 11211: "memcached", 6379: "redis",
    2379: "etcd", 2380: "etcd", 6443: "kube-apiserver", 10250: "kubelet", 10259: "kube-scheduler",
    10257: "kube-controller-manager",
    6641: "ovn-northd", 6642: "ovn-southd", 6640: "ovs-vswitchd", 6633: "ovs-vswitchd", 16509: "libvirtd",
    6789: "ceph-mon", 3300: "ceph-mon",
}  # fmt: skip

#: Exception class (without module, without oslo.messaging's `_Remote` ending) to the service it speaks of.
EXCEPTIONS = {
    "NoValidHost": "nova-scheduler",  # nova/exception.py: the scheduler found no host
    "MaxRetriesExceeded": "nova-scheduler",  # nova/exception.py: rescheduled too often
    "DBConnectionError": "mariadb",  # oslo_db/exception.py
    "DBDeadlock": "mariadb",
    "DBError": "mariadb",
    "CantStartEngineError": "mariadb",
    "OperationalError": "mariadb",  # pymysql.err, sqlalchemy.exc
    "InterfaceError": "mariadb",
    "MessagingTimeout": "rabbitmq",  # oslo_messaging/exceptions.py
    "MessageDeliveryFailure": "rabbitmq",
    "MessageUndeliverable": "rabbitmq",
    "RecoverableConnectionError": "rabbitmq",  # amqp/exceptions.py
    "ConnectionForced": "rabbitmq",
    "AMQPConnectionError": "rabbitmq",  # pika
    "ImageNotFound": "glance-api",  # nova/exception.py
    "ImageUnacceptable": "glance-api",
    "GlanceConnectionFailed": "glance-api",
    "HTTPNotFoundImage": "glance-api",
    "PlacementAPIConnectFailure": "placement-api",  # nova/exception.py
    "PlacementAPIConflict": "placement-api",
    "ResourceProviderRetrievalFailed": "placement-api",
    "NeutronAdminCredentialConfigurationInvalid": "neutron-server",  # nova/exception.py
    "PortBindingFailed": "neutron-server",
    "VirtualInterfaceCreateException": "neutron-server",
    "CinderConnectionFailed": "cinder-api",
    "VolumeBackendAPIException": "cinder-volume",
    "InvalidToken": "keystone",  # keystonemiddleware.auth_token
    "Unauthorized": "keystone",  # keystoneauth1.exceptions.http
    "DiscoveryFailure": "keystone",  # keystoneauth1.exceptions.discovery
    "TokenNotFound": "keystone",
    "ServiceError": "keystone",  # keystonemiddleware: token validation unavailable
    "MemcachedError": "memcached",
}  # fmt: skip

#: A logger below which everything is about one dependency: the libraries that speak to it.
LOGGERS = {
    "oslo.messaging._drivers.impl_rabbit": "rabbitmq",
    "oslo_messaging._drivers.impl_rabbit": "rabbitmq",
    "oslo.messaging._drivers.amqpdriver": "rabbitmq",
    "oslo_messaging._drivers.amqpdriver": "rabbitmq",
    "oslo_db": "mariadb",
    "sqlalchemy": "mariadb",
    "pymysql": "mariadb",
    "keystonemiddleware.auth_token": "keystone",
    "glanceclient": "glance-api",
    "libvirt": "libvirtd",
    "ovsdbapp": "ovs-vswitchd",
}

#: Clients' words for trouble on the way to a dependency; only then does a port in the text accuse its service.
_UNREACHABLE = re.compile(
    r"unable to establish connection|connection refused|econnrefused|connect(?:ion)? ?fail|can't connect|cannot connect"
    r"|unreachable|timed? ?out|connection reset|connection aborted|max retries exceeded|no route to host"
    r"|service unavailable|lost connection|name or service not known",
    re.IGNORECASE,
)
_CLASS = re.compile(r"\b(?:[a-z_][\w.]*\.)?([A-Z]\w+)\b")
_HOST_PORT = re.compile(r"(?:\b|//)([A-Za-z0-9_.-]+|\[[0-9a-fA-F:]+\]):(\d{2,5})\b")
_URL_PORT = re.compile(r"\bhttps?://(?:[^/\s:@]+|\[[^\]]+\]):(\d{2,5})")
_MYSQL = re.compile(r"\b(?:mysql|mariadb|pymysql)\b", re.IGNORECASE)
_AMQP = re.compile(r"\b(?:amqp|rabbitmq?)\b", re.IGNORECASE)
_MEMCACHED = re.compile(r"\bmemcached?\b", re.IGNORECASE)
_SERVICE_NAME = re.compile(
    r"\b(keystone|placement|(?:nova|neutron|glance|cinder|heat|octavia|ironic|barbican|swift|manila|designate|magnum"
    r"|ovn|kube|ceph)-[a-z][a-z-]*[a-z]|libvirtd|kubelet|etcd|haproxy|postgresql|redis)\b"
)
#: Far more text than any single line needs for its cause.
_MAX_TEXT = 4000


def suspect(event: LogEvent) -> str:
    """The program that an event accuses; empty when it accuses nobody but its writer.

    Looks, in this order, at ports in a text that speaks of unreachability, at exception classes, at the logger.
    """
    if event.status == 401:
        return "keystone"  # RFC 9110: not authenticated; in OpenStack keystone says who is
    text = _text(event)
    return _by_port(text) or _by_exception(event.exception_type, text) or _by_logger(event.logger)


def _text(event: LogEvent) -> str:
    return f"{event.exception_type}: {event.exception_message}\n{event.body}"[:_MAX_TEXT]


def _by_port(text: str) -> str:
    if not _UNREACHABLE.search(text):
        return ""
    urls = (int(port) for port in _URL_PORT.findall(text))
    pairs = (int(port) for _, port in _HOST_PORT.findall(text))
    return _first(PORTS.get(port, "") for port in (*urls, *pairs))


def _by_exception(exception_type: str, text: str) -> str:
    classes = (exception_type.rpartition(".")[2], *_CLASS.findall(text))
    return _first(EXCEPTIONS.get(name.removesuffix("_Remote"), "") for name in classes)


def _by_logger(logger: str) -> str:
    while logger:
        if logger in LOGGERS:
            return LOGGERS[logger]
        logger = logger.rpartition(".")[0]
    return ""


def _first(names: Iterable[str]) -> str:
    return next((name for name in names if name), "")


def mentions(event: LogEvent) -> tuple[str, ...]:
    """Dependencies named in an event's text: host:port, amqp, mysql, memcached, service names; each once, in order."""
    text = _text(event)
    found = [f"{host.strip('[]')}:{port}" for host, port in _HOST_PORT.findall(text) if _is_port(host, port)]
    found += [
        name for name, word in (("amqp", _AMQP), ("mysql", _MYSQL), ("memcached", _MEMCACHED)) if word.search(text)
    ]
    found += _SERVICE_NAME.findall(text)
    accused = suspect(event)
    return tuple(dict.fromkeys([*found, *([accused] if accused else [])]))


def _is_port(host: str, port: str) -> bool:
    """Keeps times of day and `file.py:123` out: a host has a letter or four numbers, and is no source file."""
    is_host = host.count(".") == 3 or (
        any(c.isalpha() for c in host) and not host.endswith((".py", ".go", ".c", ".js"))
    )
    return is_host and int(port) <= 65535 and (int(port) in PORTS or int(port) >= 1024)
