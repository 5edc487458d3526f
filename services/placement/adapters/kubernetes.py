"""The API server of Kubernetes through its official client: lists, watches, bindings. Bodies stay bytes.

Source: Kubernetes API concepts, "Efficient detection of changes": resourceVersion, bookmarks, 410 Gone.
"""

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from services.common.errors import Retryable, SettingsInvalid
from services.common.logging import get_logger
from services.placement import metrics
from services.placement.core.kube.follow import Follower, Freshness

IN_CLUSTER = "in-cluster"
_GONE = 410
_PAGE = 500
_CONNECT_SECONDS = 5.0
#: The server ends a watch after this long; one that is silent for longer has lost its connection.
_WATCH_SECONDS = 60
_SILENT_SECONDS = _WATCH_SECONDS + 15.0
_PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)


class Gone(Exception):
    """The version is too old to go on from: everything has to be read anew."""


class ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct):
    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


class EventMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class EventObject(msgspec.Struct):
    metadata: EventMetadata = msgspec.field(default_factory=EventMetadata)
    code: int = 0
    message: str = ""


class Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class Kind(NamedTuple):
    """What is listed and watched.

    Attributes:
        name: as metrics and logs call it.
        method: of CoreV1Api.
        field_selector: which of them.
    """

    name: str
    method: str
    field_selector: str = ""


NODES = Kind("nodes", "list_node")
#: A pod without a node holds nothing.
PODS = Kind("pods", "list_pod_for_all_namespaces", "spec.nodeName!=")

_pages = msgspec.json.Decoder(Page)
_events = msgspec.json.Decoder(Event)
_about = msgspec.json.Decoder(EventObject)


class ApiServer:
    """An API server.

    Args:
        where: `in-cluster`, or the path of a kubeconfig file.

    Raises:
        SettingsInvalid: neither leads to an API server.
    """

    def __init__(self, where: str) -> None:
        settings = client.Configuration()
        try:
            if where == IN_CLUSTER:
                config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
            else:
                config.load_kube_config(where, client_configuration=settings)  # type: ignore[no-untyped-call]
        except (ConfigException, OSError, ValueError) as error:
            raise SettingsInvalid(
                f"MOSELLE_PLACEMENT_KUBERNETES={where} leads to no API server: {error}; wanted {IN_CLUSTER} in a pod "
                "with a service account, or the path of a kubeconfig file"
            ) from error
        settings.retries = False
        self._api = client.CoreV1Api(client.ApiClient(settings))

    def pages(self, kind: Kind) -> Iterator[Page]:
        """All objects, some hundred at a time; the last page's version is the list's.

        Raises:
            Retryable: the server does not answer.
            Gone: the list took so long that its continuation is not known any more.
        """
        after = ""
        while True:
            wanted = {"limit": _PAGE, **({"_continue": after} if after else {})}
            answer = self._call(kind, _request_timeout=(_CONNECT_SECONDS, 60.0), **wanted)
            try:
                page = _pages.decode(answer.data)
            except (msgspec.DecodeError, urllib3.exceptions.HTTPError) as error:
                raise Retryable(f"the API server's list of {kind.name} cannot be read: {error}") from error
            yield page
            after = page.metadata.continue_
            if not after:
                return

    def events(self, kind: Kind, version: str) -> Iterator[Event | None]:
        """What changed since a version, until the server ends the watch; None once it is open.

        Raises:
            Retryable: the connection was lost.
            Gone: the version is too old.
        """
        answer = self._call(
            kind, watch=True, resource_version=version, allow_watch_bookmarks=True, timeout_seconds=_WATCH_SECONDS,
            _request_timeout=(_CONNECT_SECONDS, _SILENT_SECONDS),
        )  # fmt: skip
        yield None
        try:
            for line in _lines(answer):
                yield _events.decode(line)
        except (urllib3.exceptions.HTTPError, OSError, msgspec.DecodeError) as error:
            raise Retryable(f"the watch on {kind.name} broke off: {error}") from error
        finally:
            answer.close()

    def _call(self, kind: Kind, **wanted: Any) -> Any:
        if kind.field_selector:
            wanted["field_selector"] = kind.field_selector
        try:
            return getattr(self._api, kind.method)(_preload_content=False, **wanted)
        except ApiException as error:
            if error.status == _GONE:
                raise Gone(kind.name) from error
            raise Retryable(f"the API server refuses {kind.name}: {error.status} {error.reason}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Retryable(f"the API server does not answer for {kind.name}: {error}") from error

    def bind(self, namespace: str, name: str, uid: str, node: str) -> str:
        """Binds a pod to a node; returns what the server complains of, empty when it is done."""
        binding = client.V1Binding(
            metadata=client.V1ObjectMeta(name=name, namespace=namespace, uid=uid or None),
            target=client.V1ObjectReference(api_version="v1", kind="Node", name=node),
        )
        try:
            self._api.create_namespaced_pod_binding(
                name, namespace, binding, _preload_content=False, _request_timeout=(_CONNECT_SECONDS, 10.0)
            )
        except ApiException as error:
            return f"binding {namespace}/{name} to {node}: {error.status} {error.reason}: {str(error.body)[:500]}"
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return f"binding {namespace}/{name} to {node}: the API server does not answer: {error}"
        return ""


def _lines(answer: Any) -> Iterator[bytes]:
    """The lines of an answer, as they come."""
    rest = b""
    for chunk in answer.stream(1 << 20, decode_content=False):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
    if rest:
        yield rest


class Watcher:
    """A thread that keeps a follower up to date with one kind of object."""

    def __init__(self, server: ApiServer, kind: Kind, follower: Follower, freshness: Freshness) -> None:
        self._server = server
        self._kind = kind
        self._follower = follower
        self._freshness = freshness
        self._version = ""
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind.name}", daemon=True)

    def start(self) -> None:
        """Begins to read, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Reads no more. A watch in hand is left to itself: it ends with the process."""
        self._is_stopping.set()

    def _run(self) -> None:
        failures = 0
        reason = "start"
        while not self._is_stopping.is_set():
            try:
                if not self._version:
                    self._list(reason)
                self._follow()
                failures = 0
            except Gone:
                self._version, reason = "", "gone"
            except Retryable as error:
                self._freshness.broken()
                get_logger().warning("api_server_away", kind=self._kind.name, reason=str(error))
                self._is_stopping.wait(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
                failures += 1
            except Exception as error:
                # Whatever it is, nodes and pods are read anew rather than never again.
                self._freshness.broken()
                get_logger().exception("watch_failed", kind=self._kind.name, error=repr(error))
                self._version, reason = "", "failed"
                self._is_stopping.wait(_PAUSES_SECONDS[-1])

    def _list(self, reason: str) -> None:
        objects: list[msgspec.Raw] = []
        version = ""
        for page in self._server.pages(self._kind):
            objects += page.items or []
            version = page.metadata.resource_version
        metrics.KUBERNETES_LISTS.labels(self._kind.name, reason).inc()
        self._follower.listed(objects)
        self._version = version
        self._freshness.listed()

    def _follow(self) -> None:
        """One watch, from the version reached so far."""
        for event in self._server.events(self._kind, self._version):
            if self._is_stopping.is_set():
                return
            self._freshness.heard()
            if event is not None:
                self._take(event)

    def _take(self, event: Event) -> None:
        about = _about.decode(event.object)
        if event.type == "ERROR":
            if about.code == _GONE:
                raise Gone(about.message)
            raise Retryable(f"the watch on {self._kind.name} says: {about.code} {about.message}")
        metrics.KUBERNETES_EVENTS.labels(self._kind.name).inc()
        if event.type != "BOOKMARK":
            self._follower.changed(event.type, event.object)
        self._version = about.metadata.resource_version or self._version
