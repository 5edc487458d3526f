from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_LIVE: _ClassVar[Mode]
    MODE_SHADOW: _ClassVar[Mode]
    MODE_FALLBACK: _ClassVar[Mode]

class Profile(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROFILE_UNSPECIFIED: _ClassVar[Profile]
    PROFILE_BALANCED: _ClassVar[Profile]
    PROFILE_PERFORMANCE: _ClassVar[Profile]
    PROFILE_EFFICIENCY: _ClassVar[Profile]
    PROFILE_CONSOLIDATION: _ClassVar[Profile]
    PROFILE_POWER: _ClassVar[Profile]
    PROFILE_COST: _ClassVar[Profile]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_BOUND: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_EVICTED: _ClassVar[Outcome]
    OUTCOME_COMPLETED: _ClassVar[Outcome]
MODE_UNSPECIFIED: Mode
MODE_LIVE: Mode
MODE_SHADOW: Mode
MODE_FALLBACK: Mode
PROFILE_UNSPECIFIED: Profile
PROFILE_BALANCED: Profile
PROFILE_PERFORMANCE: Profile
PROFILE_EFFICIENCY: Profile
PROFILE_CONSOLIDATION: Profile
PROFILE_POWER: Profile
PROFILE_COST: Profile
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_BOUND: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_EVICTED: Outcome
OUTCOME_COMPLETED: Outcome

class Resources(_message.Message):
    __slots__ = ("cpu_cores", "memory_bytes", "disk_bytes", "num_gpus", "extended")
    class ExtendedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    NUM_GPUS_FIELD_NUMBER: _ClassVar[int]
    EXTENDED_FIELD_NUMBER: _ClassVar[int]
    cpu_cores: float
    memory_bytes: int
    disk_bytes: int
    num_gpus: int
    extended: _containers.ScalarMap[str, float]
    def __init__(self, cpu_cores: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., num_gpus: _Optional[int] = ..., extended: _Optional[_Mapping[str, float]] = ...) -> None: ...

class LabelDemand(_message.Message):
    __slots__ = ("label", "operator", "values")
    class Operator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OPERATOR_UNSPECIFIED: _ClassVar[LabelDemand.Operator]
        OPERATOR_IN: _ClassVar[LabelDemand.Operator]
        OPERATOR_NOT_IN: _ClassVar[LabelDemand.Operator]
        OPERATOR_EXISTS: _ClassVar[LabelDemand.Operator]
        OPERATOR_NOT_EXISTS: _ClassVar[LabelDemand.Operator]
    OPERATOR_UNSPECIFIED: LabelDemand.Operator
    OPERATOR_IN: LabelDemand.Operator
    OPERATOR_NOT_IN: LabelDemand.Operator
    OPERATOR_EXISTS: LabelDemand.Operator
    OPERATOR_NOT_EXISTS: LabelDemand.Operator
    LABEL_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    label: str
    operator: LabelDemand.Operator
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, label: _Optional[str] = ..., operator: _Optional[_Union[LabelDemand.Operator, str]] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class Toleration(_message.Message):
    __slots__ = ("key", "value", "effect")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    effect: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., effect: _Optional[str] = ...) -> None: ...

class TopologySpread(_message.Message):
    __slots__ = ("label", "max_skew")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    MAX_SKEW_FIELD_NUMBER: _ClassVar[int]
    label: str
    max_skew: int
    def __init__(self, label: _Optional[str] = ..., max_skew: _Optional[int] = ...) -> None: ...

class Constraints(_message.Message):
    __slots__ = ("node_labels", "tolerations", "candidates", "excluded_nodes", "affinity_group", "anti_affinity_group", "topology_spread", "single_numa_node", "required_regions", "excluded_regions", "min_security_level", "max_latency_ms", "min_bandwidth_mbps", "max_cost_per_hour", "min_uptime_ratio")
    NODE_LABELS_FIELD_NUMBER: _ClassVar[int]
    TOLERATIONS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NODES_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_GROUP_FIELD_NUMBER: _ClassVar[int]
    ANTI_AFFINITY_GROUP_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_SPREAD_FIELD_NUMBER: _ClassVar[int]
    SINGLE_NUMA_NODE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_REGIONS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_REGIONS_FIELD_NUMBER: _ClassVar[int]
    MIN_SECURITY_LEVEL_FIELD_NUMBER: _ClassVar[int]
    MAX_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    MIN_BANDWIDTH_MBPS_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    MIN_UPTIME_RATIO_FIELD_NUMBER: _ClassVar[int]
    node_labels: _containers.RepeatedCompositeFieldContainer[LabelDemand]
    tolerations: _containers.RepeatedCompositeFieldContainer[Toleration]
    candidates: _containers.RepeatedScalarFieldContainer[str]
    excluded_nodes: _containers.RepeatedScalarFieldContainer[str]
    affinity_group: str
    anti_affinity_group: str
    topology_spread: _containers.RepeatedCompositeFieldContainer[TopologySpread]
    single_numa_node: bool
    required_regions: _containers.RepeatedScalarFieldContainer[str]
    excluded_regions: _containers.RepeatedScalarFieldContainer[str]
    min_security_level: int
    max_latency_ms: float
    min_bandwidth_mbps: float
    max_cost_per_hour: float
    min_uptime_ratio: float
    def __init__(self, node_labels: _Optional[_Iterable[_Union[LabelDemand, _Mapping]]] = ..., tolerations: _Optional[_Iterable[_Union[Toleration, _Mapping]]] = ..., candidates: _Optional[_Iterable[str]] = ..., excluded_nodes: _Optional[_Iterable[str]] = ..., affinity_group: _Optional[str] = ..., anti_affinity_group: _Optional[str] = ..., topology_spread: _Optional[_Iterable[_Union[TopologySpread, _Mapping]]] = ..., single_numa_node: _Optional[bool] = ..., required_regions: _Optional[_Iterable[str]] = ..., excluded_regions: _Optional[_Iterable[str]] = ..., min_security_level: _Optional[int] = ..., max_latency_ms: _Optional[float] = ..., min_bandwidth_mbps: _Optional[float] = ..., max_cost_per_hour: _Optional[float] = ..., min_uptime_ratio: _Optional[float] = ...) -> None: ...

class Workload(_message.Message):
    __slots__ = ("workload_id", "name", "requests", "limits", "labels", "project", "owner", "constraints", "priority", "expected_lifetime_seconds")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORKLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LIFETIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    workload_id: str
    name: str
    requests: Resources
    limits: Resources
    labels: _containers.ScalarMap[str, str]
    project: str
    owner: str
    constraints: Constraints
    priority: float
    expected_lifetime_seconds: float
    def __init__(self, workload_id: _Optional[str] = ..., name: _Optional[str] = ..., requests: _Optional[_Union[Resources, _Mapping]] = ..., limits: _Optional[_Union[Resources, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., project: _Optional[str] = ..., owner: _Optional[str] = ..., constraints: _Optional[_Union[Constraints, _Mapping]] = ..., priority: _Optional[float] = ..., expected_lifetime_seconds: _Optional[float] = ...) -> None: ...

class PlaceRequest(_message.Message):
    __slots__ = ("request_id", "workload", "profile", "num_alternatives", "is_shadow")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    NUM_ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    IS_SHADOW_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    workload: Workload
    profile: Profile
    num_alternatives: int
    is_shadow: bool
    def __init__(self, request_id: _Optional[str] = ..., workload: _Optional[_Union[Workload, _Mapping]] = ..., profile: _Optional[_Union[Profile, str]] = ..., num_alternatives: _Optional[int] = ..., is_shadow: _Optional[bool] = ...) -> None: ...

class PlaceResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("node", "score", "reasons")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    node: str
    score: float
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    def __init__(self, node: _Optional[str] = ..., score: _Optional[float] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("factor", "value", "unit", "contribution", "text")
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    factor: str
    value: float
    unit: str
    contribution: float
    text: str
    def __init__(self, factor: _Optional[str] = ..., value: _Optional[float] = ..., unit: _Optional[str] = ..., contribution: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class Exclusion(_message.Message):
    __slots__ = ("constraint", "num_nodes", "num_nodes_only_this")
    CONSTRAINT_FIELD_NUMBER: _ClassVar[int]
    NUM_NODES_FIELD_NUMBER: _ClassVar[int]
    NUM_NODES_ONLY_THIS_FIELD_NUMBER: _ClassVar[int]
    constraint: str
    num_nodes: int
    num_nodes_only_this: int
    def __init__(self, constraint: _Optional[str] = ..., num_nodes: _Optional[int] = ..., num_nodes_only_this: _Optional[int] = ...) -> None: ...

class Infeasible(_message.Message):
    __slots__ = ("exclusions", "remedy")
    EXCLUSIONS_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    exclusions: _containers.RepeatedCompositeFieldContainer[Exclusion]
    remedy: str
    def __init__(self, exclusions: _Optional[_Iterable[_Union[Exclusion, _Mapping]]] = ..., remedy: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("request_id", "workload_id", "node", "score", "alternatives", "reasons", "infeasible", "mode", "decided_at_micros", "node_version", "model_version", "staleness_seconds", "reserved_until_micros")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    INFEASIBLE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_MICROS_FIELD_NUMBER: _ClassVar[int]
    NODE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    STALENESS_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_UNTIL_MICROS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    workload_id: str
    node: str
    score: float
    alternatives: _containers.RepeatedCompositeFieldContainer[Candidate]
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    infeasible: Infeasible
    mode: Mode
    decided_at_micros: int
    node_version: int
    model_version: str
    staleness_seconds: float
    reserved_until_micros: int
    def __init__(self, request_id: _Optional[str] = ..., workload_id: _Optional[str] = ..., node: _Optional[str] = ..., score: _Optional[float] = ..., alternatives: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., infeasible: _Optional[_Union[Infeasible, _Mapping]] = ..., mode: _Optional[_Union[Mode, str]] = ..., decided_at_micros: _Optional[int] = ..., node_version: _Optional[int] = ..., model_version: _Optional[str] = ..., staleness_seconds: _Optional[float] = ..., reserved_until_micros: _Optional[int] = ...) -> None: ...

class PlaceBatchRequest(_message.Message):
    __slots__ = ("request_id", "workloads", "profile", "is_gang", "num_alternatives", "is_shadow")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    IS_GANG_FIELD_NUMBER: _ClassVar[int]
    NUM_ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    IS_SHADOW_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    workloads: _containers.RepeatedCompositeFieldContainer[Workload]
    profile: Profile
    is_gang: bool
    num_alternatives: int
    is_shadow: bool
    def __init__(self, request_id: _Optional[str] = ..., workloads: _Optional[_Iterable[_Union[Workload, _Mapping]]] = ..., profile: _Optional[_Union[Profile, str]] = ..., is_gang: _Optional[bool] = ..., num_alternatives: _Optional[int] = ..., is_shadow: _Optional[bool] = ...) -> None: ...

class PlaceBatchResponse(_message.Message):
    __slots__ = ("decisions",)
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    def __init__(self, decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("workload", "nodes", "profile", "with_reasons")
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    WITH_REASONS_FIELD_NUMBER: _ClassVar[int]
    workload: Workload
    nodes: _containers.RepeatedScalarFieldContainer[str]
    profile: Profile
    with_reasons: bool
    def __init__(self, workload: _Optional[_Union[Workload, _Mapping]] = ..., nodes: _Optional[_Iterable[str]] = ..., profile: _Optional[_Union[Profile, str]] = ..., with_reasons: _Optional[bool] = ...) -> None: ...

class NodeScore(_message.Message):
    __slots__ = ("node", "score", "is_feasible", "failed_constraints", "reasons")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    IS_FEASIBLE_FIELD_NUMBER: _ClassVar[int]
    FAILED_CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    node: str
    score: float
    is_feasible: bool
    failed_constraints: _containers.RepeatedScalarFieldContainer[str]
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    def __init__(self, node: _Optional[str] = ..., score: _Optional[float] = ..., is_feasible: _Optional[bool] = ..., failed_constraints: _Optional[_Iterable[str]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("scores", "model_version", "staleness_seconds")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    STALENESS_SECONDS_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[NodeScore]
    model_version: str
    staleness_seconds: float
    def __init__(self, scores: _Optional[_Iterable[_Union[NodeScore, _Mapping]]] = ..., model_version: _Optional[str] = ..., staleness_seconds: _Optional[float] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("request_id", "node")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    node: str
    def __init__(self, request_id: _Optional[str] = ..., node: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("decision", "compared", "failed_constraints", "text")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    COMPARED_FIELD_NUMBER: _ClassVar[int]
    FAILED_CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    compared: Candidate
    failed_constraints: _containers.RepeatedScalarFieldContainer[str]
    text: str
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ..., compared: _Optional[_Union[Candidate, _Mapping]] = ..., failed_constraints: _Optional[_Iterable[str]] = ..., text: _Optional[str] = ...) -> None: ...

class WatchDecisionsRequest(_message.Message):
    __slots__ = ("nodes", "modes", "from_micros")
    NODES_FIELD_NUMBER: _ClassVar[int]
    MODES_FIELD_NUMBER: _ClassVar[int]
    FROM_MICROS_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedScalarFieldContainer[str]
    modes: _containers.RepeatedScalarFieldContainer[Mode]
    from_micros: int
    def __init__(self, nodes: _Optional[_Iterable[str]] = ..., modes: _Optional[_Iterable[_Union[Mode, str]]] = ..., from_micros: _Optional[int] = ...) -> None: ...

class WatchDecisionsResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class ConfirmRequest(_message.Message):
    __slots__ = ("request_id", "node", "node_version")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NODE_VERSION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    node: str
    node_version: int
    def __init__(self, request_id: _Optional[str] = ..., node: _Optional[str] = ..., node_version: _Optional[int] = ...) -> None: ...

class ConfirmResponse(_message.Message):
    __slots__ = ("is_still_feasible", "failed_constraints")
    IS_STILL_FEASIBLE_FIELD_NUMBER: _ClassVar[int]
    FAILED_CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    is_still_feasible: bool
    failed_constraints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, is_still_feasible: _Optional[bool] = ..., failed_constraints: _Optional[_Iterable[str]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("request_id", "outcome", "detail", "event_time_micros")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    outcome: Outcome
    detail: str
    event_time_micros: int
    def __init__(self, request_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., detail: _Optional[str] = ..., event_time_micros: _Optional[int] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("was_reserved",)
    WAS_RESERVED_FIELD_NUMBER: _ClassVar[int]
    was_reserved: bool
    def __init__(self, was_reserved: _Optional[bool] = ...) -> None: ...

class InventoryNode(_message.Message):
    __slots__ = ("node", "parents", "aliases", "labels", "capacity")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class CapacityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NODE_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    node: str
    parents: _containers.RepeatedScalarFieldContainer[str]
    aliases: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    capacity: _containers.ScalarMap[str, float]
    def __init__(self, node: _Optional[str] = ..., parents: _Optional[_Iterable[str]] = ..., aliases: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., capacity: _Optional[_Mapping[str, float]] = ...) -> None: ...

class UpsertInventoryRequest(_message.Message):
    __slots__ = ("source", "nodes", "removed_nodes", "is_replacing")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_NODES_FIELD_NUMBER: _ClassVar[int]
    IS_REPLACING_FIELD_NUMBER: _ClassVar[int]
    source: str
    nodes: _containers.RepeatedCompositeFieldContainer[InventoryNode]
    removed_nodes: _containers.RepeatedScalarFieldContainer[str]
    is_replacing: bool
    def __init__(self, source: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[InventoryNode, _Mapping]]] = ..., removed_nodes: _Optional[_Iterable[str]] = ..., is_replacing: _Optional[bool] = ...) -> None: ...

class UpsertInventoryResponse(_message.Message):
    __slots__ = ("num_published", "num_removed")
    NUM_PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    NUM_REMOVED_FIELD_NUMBER: _ClassVar[int]
    num_published: int
    num_removed: int
    def __init__(self, num_published: _Optional[int] = ..., num_removed: _Optional[int] = ...) -> None: ...
