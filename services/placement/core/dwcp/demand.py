"""How much of a node's resources will be in use: /predict/resources and resource_prediction/predict_demand.

The values are predictions.v1's of that node for the horizons up to the one that was asked for, for processors with
what is on its way there on top. Confidence is the forecaster's own, times the share of the asked horizon that its
forecast covers. Without a forecast it is 0.
"""

import numpy as np
from msgspec import Struct, field

from services.placement.core.dwcp.given import check_rows
from services.placement.core.dwcp.known import MODEL, Known
from services.placement.errors import InvalidRequest

_LONGEST_MINUTES = 10_080.0
#: Go's zero time: rules were never trained.
NEVER = "0001-01-01T00:00:00Z"


class Asked(Struct):
    """A question of scheduler.go: which resource is told by the names in `metrics`, such as cpu_usage."""

    resource_id: str
    metrics: dict[str, float] | None = None
    prediction_horizon: float = 60.0


class Demand(Struct):
    """The answer; `horizon_minutes` is how far ahead it looks, `reason` why there is nothing."""

    resource_id: str = ""
    prediction: list[float] = field(default_factory=list)
    confidence: float = 0.0
    timestamp: str = NEVER
    model_used: str = MODEL
    resource: str = ""
    horizon_minutes: float = 0.0
    reason: str = "nothing is known"


class ModelInfo(Struct):
    """What spoke. `accuracy` is 0: this service does not measure it."""

    name: str = "moselle-placement"
    version: str = MODEL
    training_data: str = ""
    accuracy: float = 0.0
    last_trained: str = NEVER


class ProcessAsked(Struct):
    """A question of integration_layer.go."""

    node_id: str
    resource_type: str = "cpu"
    horizon_minutes: float = 60.0
    historical_data: list[dict[str, object]] | None = None


class ProcessDemand(Struct):
    """The answer; predictions in percent, as distributed_ai_service.go compares them with 85 and 25."""

    predictions: list[float] = field(default_factory=list)
    confidence: float = 0.0
    model_info: ModelInfo = field(default_factory=ModelInfo)
    unit: str = "percent"
    reason: str = "nothing is known"


def predict(known: Known, asked: Asked) -> Demand:
    """The answer to one question of the scheduler."""
    resources = [name.removesuffix("_usage") for name in asked.metrics or () if name.endswith("_usage")]
    resource = resources[0] if resources else "cpu"
    answer = _of_node(known, asked.resource_id, resource, _minutes("prediction_horizon", asked.prediction_horizon))
    answer.timestamp = known.timestamp
    return answer


def process(known: Known, asked: ProcessAsked) -> ProcessDemand:
    """The answer to one question through the envelope: of a node, or of the whole cluster."""
    check_rows("historical_data", asked.historical_data or ())
    minutes = _minutes("horizon_minutes", asked.horizon_minutes)
    if known.row(asked.node_id) is None and known.is_cluster(asked.node_id):
        found = _of_cluster(known, asked.resource_type)
    else:
        found = _of_node(known, asked.node_id, asked.resource_type, minutes)
    info = ModelInfo(version=found.model_used, training_data="predictions.v1")
    percent = [round(100 * value, 6) for value in found.prediction]
    return ProcessDemand(percent, found.confidence, info, "percent", found.reason)


def _minutes(name: str, minutes: float) -> float:
    if not 0 < minutes <= _LONGEST_MINUTES:
        raise InvalidRequest(f"{name} is {minutes:g}: give minutes, more than 0, at most {_LONGEST_MINUTES:g}")
    return minutes


def _of_node(known: Known, name: str, resource: str, minutes: float) -> Demand:
    row = known.row(name)
    if row is None:
        return Demand(name, resource=resource, reason=f"no node of the inventory is called {name[:200]!r}")
    extra = known.coming(row) if resource == "cpu" else 0.0
    curve = known.forecast(row, resource)
    if curve is None:
        measured = known.measured(row, resource)
        if measured is None:
            return Demand(name, resource=resource, reason=f"nothing is measured or forecast of {resource[:50]!r} there")
        why = "no forecast speaks for it now; this is the newest measurement"
        return Demand(name, [_capped(measured + extra)], resource=resource, reason=why)
    ahead = [value for seconds, value in zip(curve.seconds, curve.values, strict=True) if seconds <= 60 * minutes]
    covered = min(max(curve.seconds) / 60, minutes)
    return Demand(
        name,
        [_capped(value + extra) for value in ahead or curve.values[:1]],
        curve.confidence * covered / minutes,
        model_used=curve.about,
        resource=resource,
        horizon_minutes=covered,
        reason="" if covered == minutes else f"the forecast covers {covered:g} of the {minutes:g} minutes asked for",
    )


def _of_cluster(known: Known, resource: str) -> Demand:
    """One value: the mean over processors of the highest use forecast on each node."""
    if resource not in ("cpu", "memory"):
        return Demand(reason=f"nothing is forecast of {resource[:50]!r} for all nodes together")
    totals = known.totals(resource)
    if not totals.coverage:
        return Demand(reason="no forecast speaks for any node now")
    curves = known.world.matrix.signal(f"{resource}_forecast")
    why = f"of {int((~np.isnan(curves)).sum())} of {totals.num_nodes} nodes"
    return Demand("", [_capped(totals.forecast)], totals.confidence, resource=resource, reason=why)


def _capped(value: float) -> float:
    return min(max(value, 0.0), 1.0)
