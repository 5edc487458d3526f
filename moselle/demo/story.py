"""What happened in one demonstration, as values: what the terminal and the page show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Period:
    """A labelled period that is no fault, or the ordinary operation. Times are seconds since 1970 UTC."""

    kind: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class FaultStory:
    """One injected fault and what was made of it.

    Attributes:
        kind, service, note, visible_in: as its label says.
        start, end: seconds since 1970 UTC.
        alerts: the alerts that it raised, first one first, as on alerts.v1.
        named: whether one of them names its service.
        seconds_to_detect: from its start to the first one's decision, event time; None when it raised none.
    """

    kind: str
    service: str
    note: str
    start: float
    end: float
    visible_in: tuple[str, ...]
    alerts: tuple[Json, ...]
    named: bool
    seconds_to_detect: float | None

    @property
    def found(self) -> bool:
        return bool(self.alerts)


@dataclass(frozen=True, slots=True)
class ForecastStory:
    """One series: what was forecast for each moment, so long before, and what came.

    Attributes:
        points: (epoch seconds, forecast, low, high) at the time that was forecast.
        actual: (epoch seconds, value).
    """

    entity_id: str
    target: str
    horizon_seconds: int
    points: tuple[tuple[float, float, float, float], ...]
    actual: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class PlacementStory:
    """One workload that was placed. `avoided` says whether a fault was hitting hosts and another one was chosen."""

    epoch: float
    node: str
    trouble: tuple[str, ...]
    avoided: bool
    reason: str
    why_not: str


@dataclass(frozen=True, slots=True)
class Results:
    """What the services behind the alerts gave, as the report has it: `forecasts`, `placement`, `features`."""

    forecasts: Json
    placement: Json
    features: Json
    forecast_stories: tuple[ForecastStory, ...] = ()
    placement_stories: tuple[PlacementStory, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """One demonstration.

    Attributes:
        report: demo-report.json.
        faults: by their start.
        harmless: labelled periods in which nothing is broken.
        normal: the ordinary operation; detectors learn until `fit_until` (seconds since 1970 UTC).
        alerts: the first record of every alert, by the time it was decided.
        unmatched: those of them that match no fault.
        rates, error_rates: events and ERROR events by the start of their ten seconds.
        results: of features, predictor and placement.
        setup: what it ran on, name by value.
    """

    report: Json
    faults: tuple[FaultStory, ...]
    harmless: tuple[Period, ...]
    normal: Period
    fit_until: float
    alerts: tuple[Json, ...]
    unmatched: tuple[Json, ...]
    rates: Mapping[int, int]
    error_rates: Mapping[int, int]
    results: Results
    setup: Mapping[str, str]
