"""What the world says of a node, of all of them, and of a workload, at one moment."""

import math
from datetime import UTC, datetime

import msgspec
import numpy as np

from services.placement.core.decision import MODEL_VERSION
from services.placement.core.figures import Curve
from services.placement.core.health import Alert
from services.placement.core.matrix import Floats
from services.placement.core.signals import speakers
from services.placement.core.world import World

MODEL = f"moselle {MODEL_VERSION}"
#: NovaCron's resources to the features that say how much of them is in use.
RATIOS = {"cpu": "cpu_used_ratio", "memory": "memory_used_ratio"}
NETWORK = "network_io_bytes_per_second"
#: What NovaCron calls the whole of its cluster.
CLUSTER_NAMES = frozenset({"distributed_cluster", "distributed_supercompute", "cluster"})


class Totals(msgspec.Struct, frozen=True):
    """All nodes together.

    Attributes:
        num_nodes: how many there are.
        coverage: share of the processors of which a forecast speaks, 0..1.
        confidence: mean of the forecasts' confidences over all processors; those without count 0.
        forecast: mean of the highest processor use that is forecast, over the nodes with a forecast.
        troubled: share of the processors on nodes that have lost more than half of their health.
    """

    num_nodes: int = 0
    coverage: float = 0.0
    confidence: float = 0.0
    forecast: float = 0.0
    troubled: float = 0.0


class Known:
    """One look at the world; the caller holds its lock and has called `prepare`.

    Args:
        now: wall time, microseconds UTC.
        cluster: its name.
    """

    def __init__(self, world: World, now: int, cluster: str = "") -> None:
        self.world = world
        self.now = now
        self.cluster = cluster

    @property
    def timestamp(self) -> str:
        """Now, RFC 3339."""
        return moment(self.now)

    def row(self, name: str) -> int | None:
        """The row of the node that is called so: by entity_id, alias or bare name; None when none or several are."""
        row = self.world.matrix.row_of.get(name)
        if row is not None:
            return row
        named = self.world.names.own(name)
        return self.world.matrix.row_of[next(iter(named))] if len(named) == 1 else None

    def is_cluster(self, name: str) -> bool:
        """Whether a name means all nodes."""
        return name in CLUSTER_NAMES or name == self.cluster

    def health(self, row: int) -> float:
        """0..1."""
        return float(self.world.matrix.signal("health")[row])

    def alerts(self, row: int) -> list[tuple[float, Alert]]:
        """The alerts that concern a node with their impacts, worst first."""
        return self.world.alerts.on_node(self.world.matrix.ids[row], self.now)

    def fact(self, row: int, name: str) -> float | None:
        """A fact of the inventory."""
        return finite(self.world.matrix.fact(name)[row])

    def bytes_per_second(self, row: int) -> float | None:
        """What a node's network carries."""
        mbps = self.fact(row, "bandwidth_mbps")
        return mbps * 125_000 if mbps else None

    def coming(self, row: int) -> float:
        """Share of a node's processors that workloads on their way there asked for."""
        matrix = self.world.matrix
        return finite(matrix.cpu_in_flight[row] * matrix.inverse("cpu_cores")[row]) or 0.0

    def measured(self, row: int, resource: str) -> float | None:
        """How much of a resource is in use, 0..1, by the newest measurement."""
        if resource == "network":
            carries, busy = self.bytes_per_second(row), self.figure(row, NETWORK)
            return min(1.0, busy / carries) if carries and busy is not None else None
        name = RATIOS.get(resource)
        return None if name is None else self.figure(row, name)

    def figure(self, row: int, name: str) -> float | None:
        """A feature's newest value, of the first of a node's entities that has one."""
        found = (self.world.figures.newest(one, name, self.now) for one in speakers(self.world.matrix.infos[row]))
        return next((value for value in found if value is not None), None)

    def forecast(self, row: int, resource: str) -> Curve | None:
        """How much of a resource will be in use, 0..1."""
        if resource == "network":
            carries, curve = self.bytes_per_second(row), self._curve(row, NETWORK)
            if not carries or curve is None:
                return None
            return curve._replace(values=tuple(value / carries for value in curve.values))
        name = RATIOS.get(resource)
        return None if name is None else self._curve(row, name)

    def _confidence(self, row: int, target: str) -> float:
        curve = self.world.figures.curve(self.world.matrix.ids[row], target, self.now) or self._curve(row, target)
        return 0.0 if curve is None else curve.confidence

    def _curve(self, row: int, target: str) -> Curve | None:
        found = (self.world.figures.curve(one, target, self.now) for one in speakers(self.world.matrix.infos[row]))
        return next((curve for curve in found if curve is not None), None)

    def loads(self, resource: str) -> Floats:
        """(n,) the highest use that is forecast, else the newest measurement; NaN where nobody says anything."""
        matrix = self.world.matrix
        ahead, now = matrix.signal(f"{resource}_forecast"), matrix.signal(f"{resource}_load")
        found: Floats = np.where(np.isnan(ahead), now, ahead)
        return found

    def totals(self, resource: str = "cpu") -> Totals:
        """All nodes together, weighted by their processors."""
        matrix = self.world.matrix
        if not len(matrix):
            return Totals()
        weights = matrix.capacity("cpu_cores")
        whole = float(weights.sum())
        if not whole:
            weights, whole = np.ones(len(matrix)), float(len(matrix))
        ahead = matrix.signal(f"{resource}_forecast")
        has = ~np.isnan(ahead)
        with_forecast = float(weights[has].sum())
        rows = np.flatnonzero(has).tolist()
        confidences = np.array([self._confidence(row, RATIOS[resource]) for row in rows])
        confidence = float((confidences * weights[rows]).sum()) if rows else 0.0
        return Totals(
            len(matrix),
            with_forecast / whole,
            confidence / whole,
            float((weights * np.nan_to_num(ahead)).sum()) / with_forecast if with_forecast else 0.0,
            float(weights[matrix.signal("health") < 0.5].sum()) / whole,
        )


def moment(micros: int) -> str:
    """RFC 3339 of microseconds UTC, as Go's time.Time reads it."""
    return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def finite(value: float) -> float | None:
    """A plain number, or None for what is none."""
    return float(value) if math.isfinite(value) else None
