"""Short names out of JSON, and whose a record is: host, file, program and pod under the names that shippers use."""

import re
from functools import lru_cache
from typing import Any

import orjson

from services.ingest.core.lines import Origin
from services.ingest.core.payload import shown
from services.ingest.core.secrets import MASK, mask

Json = dict[str, Any]

MAX_NAME_CHARS = 255
MAX_ATTRIBUTES = 32
_HOST_KEYS = ("host", "hostname", "Hostname", "_HOSTNAME", "host.name")
_PATH_KEYS = ("path", "file", "filename", "filepath", "log.file.path")
_APP_KEYS = (
    "program", "programname", "appname", "app_name", "ident", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "unit", "service",
    "service.name", "app", "container_name",
)  # fmt: skip
#: kubelet's `/var/log/pods/<namespace>_<pod>_<uid>/<container>/0.log`, and the links to it that shippers tail.
_POD_FILE = re.compile(r".*/pods/(?P<ns>[a-z0-9-]+)_(?P<pod>[a-z0-9.-]+)_[0-9a-fA-F-]+/(?P<container>[^/]+)/[^/]+$")
_CONTAINER_FILE = re.compile(
    r".*/containers/(?P<pod>[a-z0-9.-]+)_(?P<ns>[a-z0-9-]+)_(?P<container>.+)-[0-9a-f]{12,64}\.log$"
)


def name(value: object) -> str:
    """A short name out of JSON, masked; empty for anything but text."""
    # Cut before it is remembered: thousands of names of ten megabytes would be remembered, too.
    return _clean(value[:MAX_NAME_CHARS]) if isinstance(value, str) and value != "-" else ""


@lru_cache(4096)
def _clean(value: str) -> str:
    return mask(value)


def first_name(record: Json, keys: tuple[str, ...]) -> str:
    """The first of the named fields that holds a name: a text, or an object with a `name` or `path`."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, dict):
            value = value.get("name") or value.get("hostname") or value.get("path")
        if found := name(value):
            return found
    return ""


def json_text(value: object) -> str:
    """A value as compact JSON; in Python's own writing what is nested too deep for that."""
    try:
        return orjson.dumps(value, default=_bytes_text, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return shown(value)


def _bytes_text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else "[..]"


def process_id(value: object) -> int | None:
    """A process id out of JSON: a number, or its digits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value < 2**53 else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        return int(value)
    return None


def attributes_of(record: Json, names: tuple[str, ...]) -> dict[str, str] | None:
    """The named texts of a record; None when there is none."""
    found = {key: value for key in names if (value := name(record.get(key)))}
    return found or None


def others(record: Json, known: frozenset[str]) -> dict[str, str]:
    """What a record says under names that are not known: texts, numbers and truths, masked, at most 32 of them."""
    found: dict[str, str] = {}
    for key, value in record.items():
        if key in known or not isinstance(value, (str, int, float)):
            continue
        if len(found) == MAX_ATTRIBUTES:
            break
        found[name(key)] = attribute(key, value)
    return found


def attribute(key: str, value: object) -> str:
    """A field's value as an attribute: masked by its own looks, and whole where its name says that it is a secret."""
    return MASK if _names_a_secret(key[:MAX_NAME_CHARS]) else mask(shown(value)[:MAX_NAME_CHARS])


@lru_cache(4096)
def _names_a_secret(key: str) -> bool:
    return MASK in mask(f"{key}: x")


def origin_of(record: Json, outer: Origin) -> Origin:
    """Host, file, program, pod and stream of a record of any shipper; what it does not say is the key's."""
    host, path = first_name(record, _HOST_KEYS), first_name(record, _PATH_KEYS) or _log_path(record.get("log"))
    app = first_name(record, _APP_KEYS).lstrip("/")
    stream = name(record.get("stream"))
    kubernetes = record.get("kubernetes")
    if isinstance(kubernetes, dict):
        return _pod_origin(kubernetes, host, path, stream)
    return file_origin(host, path, outer, app, stream)


@lru_cache(4096)
def file_origin(host: str, path: str, outer: Origin, app: str = "", stream: str = "") -> Origin:
    """An origin by its names, completed from `outer`; a container's file tells its pod."""
    host, path = name(host) or outer.host, name(path) or outer.path
    pod, container = pod_of_file(path)
    return Origin(host, path, container or app or outer.app, pod or outer.pod, outer.key, stream)


def completed(outer: Origin, record: Json, app_keys: tuple[str, ...] = _APP_KEYS) -> Origin:
    """The origin of a record that its own program wrote: what a shipper says comes first, the record fills the rest.

    `path` and `host` may be those of a web request: they count where the path is a log file's.
    """
    file = name(record.get("path"))
    file = file if file.endswith((".log", ".json")) or file.startswith("/var/log/") else ""
    host = outer.host or first_name(record, ("hostname", "Hostname", "host.name")) or _host_object(record)
    host = host or (name(record.get("host")) if file else "")
    path, app = outer.path or _log_path(record.get("log")) or file, outer.app or first_name(record, app_keys)
    if isinstance(record.get("kubernetes"), dict) and not outer.pod:
        return _pod_origin(record["kubernetes"], host, path, outer.stream or name(record.get("stream")))
    return outer._replace(host=host, path=path, app=app)


def _host_object(record: Json) -> str:
    host = record.get("host")
    return first_name(host, ("name", "hostname")) if isinstance(host, dict) else ""


def pod_of_file(path: str) -> tuple[str, str]:
    """(`namespace/pod`, container) of a container's log file; empty for other files."""
    if "/pods/" not in path and "/containers/" not in path:
        return "", ""
    found = _POD_FILE.match(path) or _CONTAINER_FILE.match(path)
    return (f"{found['ns']}/{found['pod']}", found["container"]) if found else ("", "")


def _pod_origin(kubernetes: Json, record_host: str, record_path: str, stream: str) -> Origin:
    """Fluent Bit and Fluentd (`pod_name`), Vector (`pod_namespace`, `pod_node_name`), Filebeat (`pod.name`)."""
    container = name(kubernetes.get("container_name")) or first_name(kubernetes, ("container",))
    pod = name(kubernetes.get("pod_name")) or first_name(kubernetes, ("pod",))
    namespace = first_name(kubernetes, ("namespace_name", "pod_namespace", "namespace")) or "default"
    host = first_name(kubernetes, ("host", "pod_node_name", "node")) or record_host
    path = record_path or (f"{namespace}/{pod}/{container}" if pod else "")
    return Origin(host, path, container, f"{namespace}/{pod}" if pod else "", "", stream)


def _log_path(log: object) -> str:
    """Filebeat's `log.file.path`."""
    return first_name(log, ("file",)) if isinstance(log, dict) else ""
