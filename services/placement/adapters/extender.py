"""The scheduler extender v1 of Kubernetes: request bodies to answers.

Keys are the names of Go's fields, capitalised. A status other than 200 tells the scheduler to go on without us when it
was configured with `ignorable: true`. Source: k8s.io/kube-scheduler/extender/v1/types.go.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import add
from typing import NamedTuple, Protocol

import msgspec

from services.placement.core.kube.advice import Passed

NULL = msgspec.Raw(b"null")
_MOST_PREFIXES = 50_000


class Answer(NamedTuple):
    """An HTTP status and what goes with it: JSON for 200, else a sentence."""

    status: int
    body: bytes


class Asked(Protocol):
    """What answers: core/kube/desk.py."""

    def filter(self, pod: msgspec.Raw, names: Sequence[str]) -> Passed: ...

    def prioritize(self, pod: msgspec.Raw, names: Sequence[str]) -> list[int]: ...

    def preempt(self, pod: msgspec.Raw, names: Sequence[str]) -> list[str]: ...


class Args(msgspec.Struct, rename="pascal"):
    """ExtenderArgs: whole nodes, or names when the scheduler was told that we know the nodes."""

    pod: msgspec.Raw
    nodes: msgspec.Raw = NULL
    node_names: msgspec.Raw = NULL


class NodeList(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


class Named(msgspec.Struct):
    name: str


class NamedNode(msgspec.Struct):
    metadata: Named


class VictimMetadata(msgspec.Struct):
    uid: str = ""


class VictimPod(msgspec.Struct):
    metadata: VictimMetadata = msgspec.field(default_factory=VictimMetadata)


class Victims(msgspec.Struct):
    pods: list[VictimPod] | None = msgspec.field(default=None, name="Pods")
    violations: int = msgspec.field(default=0, name="NumPDBViolations")


class MetaPod(msgspec.Struct):
    uid: str = msgspec.field(default="", name="UID")


class MetaVictims(msgspec.Struct):
    pods: list[MetaPod] | None = msgspec.field(default=None, name="Pods")
    violations: int = msgspec.field(default=0, name="NumPDBViolations")


class PreemptArgs(msgspec.Struct):
    """ExtenderPreemptionArgs."""

    pod: msgspec.Raw = msgspec.field(name="Pod")
    victims: dict[str, Victims] | None = msgspec.field(default=None, name="NodeNameToVictims")
    meta_victims: dict[str, MetaVictims] | None = msgspec.field(default=None, name="NodeNameToMetaVictims")


class BindArgs(msgspec.Struct):
    """ExtenderBindingArgs."""

    pod_name: str = msgspec.field(name="PodName")
    pod_namespace: str = msgspec.field(name="PodNamespace")
    node: str = msgspec.field(name="Node")
    pod_uid: str = msgspec.field(default="", name="PodUID")


class Candidates(NamedTuple):
    """The nodes of a request: their names, and the JSON that they came in."""

    names: list[str]
    raw_names: msgspec.Raw
    items: list[msgspec.Raw] | None


_args = msgspec.json.Decoder(Args)
_names = msgspec.json.Decoder(list[str])
_nodes = msgspec.json.Decoder(NodeList)
_named = msgspec.json.Decoder(NamedNode)
_preempt_args = msgspec.json.Decoder(PreemptArgs)
_bind_args = msgspec.json.Decoder(BindArgs)
_MARKS = tuple(b"%d}" % mark for mark in range(11))


class Extender:
    """Answers bodies of the four verbs. Thread-safe if the desk is.

    Args:
        bind: binds a pod, (namespace, name, uid, node) to the API server's complaint; empty when it is done. None
            where no API server is known.
    """

    def __init__(self, desk: Asked, bind: Callable[[str, str, str, str], str] | None = None) -> None:
        self._desk = desk
        self._bind = bind
        self._prefixes: dict[str, bytes] = {}
        self._last = Candidates([], NULL, None)
        self._verbs: Mapping[str, Callable[[bytes], bytes]] = {
            "filter": self._filter,
            "prioritize": self._prioritize,
            "preempt": self._preempt,
            "bind": self._bound,
        }

    @property
    def verbs(self) -> tuple[str, ...]:
        """What can be asked."""
        return tuple(self._verbs)

    def answer(self, verb: str, body: bytes) -> Answer:
        """The answer to a request; 400 with a sentence for a body that is no such request."""
        try:
            return Answer(200, self._verbs[verb](body))
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
            return Answer(400, f"this is no request of the extender's verb {verb}: {error}\n".encode())

    def _filter(self, body: bytes) -> bytes:
        args = _args.decode(body)
        candidates = self._candidates(args)
        passed = self._desk.filter(args.pod, candidates.names)
        return b'{"Nodes":%s,"NodeNames":%s,"FailedNodes":%s,"FailedAndUnresolvableNodes":%s,"Error":""}' % (
            *_kept(candidates, passed),
            _reasons(passed, False),
            _reasons(passed, True),
        )

    def _prioritize(self, body: bytes) -> bytes:
        args = _args.decode(body)
        names = self._candidates(args).names
        marks = map(_MARKS.__getitem__, self._desk.prioritize(args.pod, names))
        return b"[%s]" % b",".join(map(add, self._in_json(names), marks))

    def _in_json(self, names: Sequence[str]) -> list[bytes]:
        """The beginning of each node's entry, made once: the same names come with every pod."""
        try:
            return list(map(self._prefixes.__getitem__, names))
        except KeyError:
            kept = self._prefixes if len(self._prefixes) <= _MOST_PREFIXES else {}
            self._prefixes = kept | {name: b'{"Host":%s,"Score":' % msgspec.json.encode(name) for name in names}
            return list(map(self._prefixes.__getitem__, names))

    def _candidates(self, args: Args) -> Candidates:
        """The nodes of a request; prioritize comes with the same ones as the filter before it."""
        if self._last.raw_names != args.node_names or self._last.items is not None or args.node_names == NULL:
            self._last = _read_candidates(args)
        return self._last

    def _preempt(self, body: bytes) -> bytes:
        args = _preempt_args.decode(body)
        victims = args.meta_victims
        if victims is None:
            victims = {name: _meta(one) for name, one in (args.victims or {}).items()}
        kept = self._desk.preempt(args.pod, list(victims))
        return msgspec.json.encode({"NodeNameToMetaVictims": {name: victims[name] for name in kept}})

    def _bound(self, body: bytes) -> bytes:
        args = _bind_args.decode(body)
        if self._bind is None:
            raise ValueError("nothing is bound here: set MOSELLE_PLACEMENT_KUBERNETES, or take bindVerb out")
        complaint = self._bind(args.pod_namespace, args.pod_name, args.pod_uid, args.node)
        return msgspec.json.encode({"Error": complaint})


def _kept(candidates: Candidates, passed: Passed) -> tuple[bytes, bytes]:
    """Nodes and NodeNames of those that pass, in JSON; as they came when all do."""
    if candidates.items is None and not passed.refused:
        return b"null", bytes(candidates.raw_names)
    kept = [number for number, name in enumerate(candidates.names) if name not in passed.refused]
    if candidates.items is not None:
        items = b",".join([bytes(candidates.items[number]) for number in kept])
        return b'{"metadata":{},"items":[%s]}' % items, b"null"
    return b"null", msgspec.json.encode([candidates.names[number] for number in kept])


def _read_candidates(args: Args) -> Candidates:
    """Names of a request's nodes.

    Raises:
        ValueError: it has neither nodes nor names. An answer without nodes would be a veto.
    """
    if args.node_names != NULL:
        return Candidates(_names.decode(args.node_names), args.node_names.copy(), None)
    items = _nodes.decode(args.nodes).items if args.nodes != NULL else None
    if items is None:
        raise ValueError("neither Nodes nor NodeNames names a node")
    return Candidates([_named.decode(item).metadata.name for item in items], NULL, items)


def _meta(victims: Victims) -> MetaVictims:
    return MetaVictims([MetaPod(pod.metadata.uid) for pod in victims.pods or []], victims.violations)


def _reasons(passed: Passed, are_unresolvable: bool) -> bytes:
    if not passed.refused:
        return b"{}"
    return msgspec.json.encode(
        {
            name: f"moselle: {', '.join(failed)}"
            for name, failed in passed.refused.items()
            if (name in passed.unresolvable) == are_unresolvable
        }
    )
