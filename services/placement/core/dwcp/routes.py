"""Every question that NovaCron asks over HTTP: its path or its service and method, its type, what answers it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from services.placement.core.dwcp import (
    anomalies,
    cluster,
    demand,
    migration,
    patterns,
    scaling,
    target,
    ways,
)
from services.placement.core.dwcp.known import MODEL, Known
from services.placement.errors import InvalidRequest

#: What Go writes for a map that nobody made.
_NULL = msgspec.Raw(b"null")


class Route(NamedTuple):
    """One question.

    Attributes:
        asked, answer: types of the question and of the answer; `answer()` says that nothing is known.
        work: answers; raises InvalidRequest.
    """

    name: str
    asked: type[Any]
    answer: type[Any]
    work: Callable[[Known, Any], Any]


#: By path.
ROUTES = {
    f"/{route.name}": route
    for route in (
        Route("predict/resources", demand.Asked, demand.Demand, demand.predict),
        Route("predict/migration", target.Asked, target.Target, target.choose),
        Route("detect/anomaly", anomalies.Asked, anomalies.Anomaly, anomalies.detect),
        Route("analyze/workload", patterns.Asked, patterns.Workload, patterns.analyze),
        Route("optimize/scaling", scaling.Asked, scaling.Scaling, scaling.scale),
        Route("optimize/performance", cluster.Asked, cluster.Performance, cluster.optimize),
        Route("optimize/bandwidth", scaling.BandwidthAsked, scaling.Bandwidth, scaling.share_bandwidth),
        Route("predict/migration_time", migration.TimeAsked, migration.MigrationTime, migration.migration_time),
        Route("predict/bandwidth", migration.BandwidthAsked, migration.Bandwidth, migration.bandwidth),
        Route("predict/optimal_path", ways.PathAsked, ways.Path, ways.optimal_path),
        Route("optimize/migration_strategy", migration.StrategyAsked, migration.Strategy, migration.strategy),
        Route("optimize/compression", migration.CompressionAsked, migration.Compression, migration.compression),
        Route(
            "optimize/memory_iterations", migration.IterationsAsked, migration.Iterations, migration.memory_iterations
        ),
        Route("analyze/network_conditions", ways.NetworkAsked, ways.Network, ways.network_conditions),
        Route("analyze/anomalies", anomalies.MigrationAsked, anomalies.MigrationAnomalies, anomalies.migration),
        Route("recommend/adjustments", ways.AdjustmentsAsked, ways.Adjustments, ways.adjustments),
        Route("analyze/patterns", ways.PatternsAsked, ways.Patterns, ways.patterns),
        Route("predict/failure_risk", migration.RiskAsked, migration.Risk, migration.failure_risk),
    )
}
HEALTH = Route("health", cluster.HealthAsked, cluster.Health, cluster.health)


class Refusal(Exception):
    """A question that is understood and not answered here.

    Args:
        sentence: why, and where to go.
    """


class TrainAsked(msgspec.Struct):
    """Which model to train."""

    model_type: str = ""


class Trained(msgspec.Struct):
    """Never answered: see `refuse_training`."""


def refuse_training(known: Known, asked: TrainAsked) -> Trained:
    """Training is no request's affair here."""
    raise Refusal("models are trained offline, with `moselle train`, and loaded by artifact: nothing was trained")


def model_info(known: Known, asked: cluster.ModelAsked) -> demand.ModelInfo:
    """What answers here: rules."""
    return demand.ModelInfo(version=MODEL, training_data="none: rules over streams")


#: By service and method of /api/v1/process.
PROCESSES = {
    ("resource_prediction", "predict_demand"): Route(
        "predict_demand", demand.ProcessAsked, demand.ProcessDemand, demand.process
    ),
    ("performance_optimization", "optimize_cluster"): Route(
        "optimize_cluster", cluster.ProcessAsked, cluster.ProcessPerformance, cluster.process
    ),
    ("anomaly_detection", "detect"): Route(
        "detect", anomalies.ProcessAsked, anomalies.ProcessAnomalies, anomalies.process
    ),
    ("workload_pattern_recognition", "analyze_patterns"): Route(
        "analyze_patterns", patterns.ProcessAsked, patterns.ProcessPatterns, patterns.process
    ),
    ("predictive_scaling", "predict_scaling"): Route(
        "predict_scaling", scaling.ClusterAsked, scaling.ClusterScaling, scaling.scale_cluster
    ),
    ("model_training", "train"): Route("train", TrainAsked, Trained, refuse_training),
    ("model_management", "get_info"): Route("get_info", cluster.ModelAsked, demand.ModelInfo, model_info),
    ("health", "check"): HEALTH,
}


class Envelope(msgspec.Struct):
    """A request of /api/v1/process."""

    id: str = ""
    service: str = ""
    method: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    metadata: dict[str, str] | None = None


class Enveloped(msgspec.Struct):
    """Its response. `success` False counts as a failure of the service at NovaCron's circuit breaker."""

    id: str = ""
    success: bool = False
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    error: str = ""
    confidence: float = 0.0
    process_time: float = 0.0
    model_version: str = MODEL


def decode(raw: bytes | msgspec.Raw, kind: type[Any], what: str) -> Any:
    """A question.

    Raises:
        InvalidRequest: it is no JSON, or lacks a field, or has one of another type.
    """
    try:
        return msgspec.json.decode(b"{}" if raw == _NULL else raw, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        why = str(error)[:300]
        raise InvalidRequest(f"the body is not what {what} takes: {why}; the service's README lists it") from None
