"""Every feature, declared once: the vectors' order, names, units and meaning come from here, and docs/features.md."""

from dataclasses import dataclass

from services.common.node_signals import OF_NODE, OF_WORKLOADS
from services.common.signal_forms import NodeSignal
from services.features.core import log_features, metric_features


@dataclass(frozen=True, slots=True)
class Feature:
    """One number of a vector.

    Args:
        name: with its unit as suffix.
        unit: in words.
        description: what it says.
    """

    name: str
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Features that are computed together. Another order, name or meaning is another version.

    Args:
        name: as in `features.v1`.
        version: as in `features.v1`; models name the one that they were trained with.
        entities: the kinds of entities that have it, in words.
        source: the topic that it is computed from.
        features: in the order of a vector.
    """

    name: str
    version: int
    entities: str
    source: str
    description: str
    features: tuple[Feature, ...]

    @property
    def names(self) -> list[str]:
        """The features' names in the order of a vector."""
        return [feature.name for feature in self.features]


def _metric_features() -> tuple[Feature, ...]:
    base = [Feature(name, unit, text) for name, (_, unit, text) in metric_features.BASE.items()]
    rolling = [
        Feature(
            f"{name}_{suffix}",
            metric_features.BASE[name][1] + (" per second" if suffix == "slope_5m" else ""),
            f"{text} of {name} over five minutes",
        )
        for name in metric_features.CORE
        for suffix, (_, text) in metric_features.ROLLING.items()
    ]
    return (*base, *rolling)


def _log_features(distinct: tuple[str, str, str]) -> tuple[Feature, ...]:
    base = [Feature(name, unit, text) for name, (_, unit, text) in log_features.BASE.items()]
    rolling = [Feature(name, unit, f"over five minutes: {text}") for name, (unit, text) in log_features.ROLLING.items()]
    return (*base, Feature(*distinct), *rolling)


_RECENT = {"": "", "max": "; largest of five minutes", "mean": "; mean of five minutes", "std": " over five minutes"}


def _signals(signals: tuple[NodeSignal, ...]) -> tuple[Feature, ...]:
    return tuple(Feature(one.name, one.unit, f"{one.meaning}{_RECENT[one.recent]} ({one.exporter})") for one in signals)


METRICS_CORE = FeatureSet(
    "metrics.core", 1, "hosts, services and process groups, pods, instances", "metrics.samples.v1",
    "What exporters say of an entity: the six core metrics, four more where the entity gives them, and rolling ones.",
    _metric_features(),
)  # fmt: skip
LOGS = FeatureSet(
    "logs", 1, "services", "logs.rates.v1",
    "What a service logged.",
    _log_features(log_features.DISTINCT_TEMPLATES),
)  # fmt: skip
LOGS_HOST = FeatureSet(
    "logs.host", 1, "hosts", "logs.rates.v1 through features.rollup.v1",
    "What all services of a host logged, added up.",
    _log_features(log_features.DISTINCT_SERVICES),
)  # fmt: skip
METRICS_NODE = FeatureSet(
    "metrics.node", 1, "hosts", "metrics.samples.v1",
    "What exporters say of a machine beyond the core metrics; there when at least one is known.",
    _signals(OF_NODE),
)  # fmt: skip
METRICS_WORKLOAD = FeatureSet(
    "metrics.workload", 1, "pods, instances, and hosts that are told of as a whole", "metrics.samples.v1",
    "What exporters say of what runs on a machine, for its node to add up; there when at least one is known.",
    _signals(OF_WORKLOADS),
)  # fmt: skip
FEATURE_SETS = (METRICS_CORE, METRICS_NODE, METRICS_WORKLOAD, LOGS, LOGS_HOST)
