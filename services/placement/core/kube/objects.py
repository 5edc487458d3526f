"""The parts of Kubernetes' objects that count here; everything else is passed over.

Go leaves empty fields out or writes null, so every field may be missing or None.
"""

import msgspec

Quantities = dict[str, str | int | float]


class Object(msgspec.Struct, rename="camel", frozen=True):
    """Names are lower camel case on the wire."""


class OwnerReference(Object, frozen=True):
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Metadata(Object, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class Resources(Object, frozen=True):
    requests: Quantities | None = None
    limits: Quantities | None = None


class Container(Object, frozen=True):
    """`restart_policy` is Always for a sidecar among the init containers."""

    resources: Resources | None = None
    restart_policy: str | None = None


class Toleration(Object, frozen=True):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class Expression(Object, frozen=True):
    """A requirement on a label of a node, or of a pod."""

    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class Selector(Object, frozen=True):
    match_labels: dict[str, str] | None = None
    match_expressions: list[Expression] | None = None


class NodeSelectorTerm(Object, frozen=True):
    match_expressions: list[Expression] | None = None
    match_fields: list[Expression] | None = None


class NodeSelector(Object, frozen=True):
    node_selector_terms: list[NodeSelectorTerm] | None = None


class NodeAffinity(Object, frozen=True):
    required: NodeSelector | None = msgspec.field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class PodAffinityTerm(Object, frozen=True):
    label_selector: Selector | None = None
    topology_key: str = ""
    namespaces: list[str] | None = None
    namespace_selector: Selector | None = None


class PodAffinity(Object, frozen=True):
    required: list[PodAffinityTerm] | None = msgspec.field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class Affinity(Object, frozen=True):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Spread(Object, frozen=True):
    max_skew: int = 1
    topology_key: str = ""
    when_unsatisfiable: str = ""
    label_selector: Selector | None = None


class PodSpec(Object, frozen=True):
    node_name: str = ""
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: Quantities | None = None
    resources: Resources | None = None
    node_selector: dict[str, str] | None = None
    affinity: Affinity | None = None
    tolerations: list[Toleration] | None = None
    topology_spread_constraints: list[Spread] | None = None
    priority: int | None = None


class PodStatus(Object, frozen=True):
    phase: str = ""
    reason: str = ""
    start_time: str | None = None


class Pod(Object, frozen=True):
    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def key(self) -> str:
        """Its entity_id here."""
        return f"pod:{self.metadata.namespace}/{self.metadata.name}"

    @property
    def is_over(self) -> bool:
        """It ended and holds nothing any more."""
        return self.status.phase in ("Succeeded", "Failed")


class Taint(Object, frozen=True):
    key: str = ""
    value: str = ""
    effect: str = "NoSchedule"


class NodeSpec(Object, frozen=True):
    taints: list[Taint] | None = None
    unschedulable: bool | None = None
    provider_id: str | None = msgspec.field(default=None, name="providerID")


class Condition(Object, frozen=True):
    type: str = ""
    status: str = ""


class Address(Object, frozen=True):
    type: str = ""
    address: str = ""


class NodeStatus(Object, frozen=True):
    allocatable: Quantities | None = None
    conditions: list[Condition] | None = None
    addresses: list[Address] | None = None


class Node(Object, frozen=True):
    metadata: Metadata = Metadata()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


_POD, _NODE = msgspec.json.Decoder(Pod), msgspec.json.Decoder(Node)


def read_pod(raw: bytes | msgspec.Raw) -> Pod:
    """A v1.Pod.

    Raises:
        ValueError: it is none.
    """
    return _POD.decode(raw)


def read_node(raw: bytes | msgspec.Raw) -> Node:
    """A v1.Node.

    Raises:
        ValueError: it is none.
    """
    return _NODE.decode(raw)
