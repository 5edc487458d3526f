"""Forecasts against what came. Pure: records in, figures out."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from moselle.demo.story import ForecastStory, Json

CORE = "metrics.core"
_SHOWN_FIRST = ("cpu_cores", "memory_used_bytes", "disk_io_bytes_per_second")
SECOND = 1_000_000
#: (entity_id, target) and the values of its steps by their start, microseconds.
Actuals = Mapping[tuple[str, str], Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Compared:
    """One horizon of one prediction whose time has come. `last` is the value when it was made."""

    series: tuple[str, str]
    horizon_seconds: int
    predicted: float
    low: float
    high: float
    last: float
    actual: float

    @property
    def error(self) -> float:
        return abs(self.predicted - self.actual)

    @property
    def error_of_persistence(self) -> float:
        return abs(self.last - self.actual)

    @property
    def is_covered(self) -> bool:
        return self.low <= self.actual <= self.high


def actual_values(features: Iterable[Json]) -> dict[tuple[str, str], dict[int, float]]:
    """What each feature was at each step, finite values only."""
    values: dict[tuple[str, str], dict[int, float]] = {}
    for record in features:
        if record["feature_set"] != CORE:
            continue
        for name, value in zip(record["names"], record["values"], strict=True):
            if math.isfinite(value):
                values.setdefault((record["entity_id"], name), {})[record["event_time"]] = value
    return values


def compare(predictions: Iterable[Json], actuals: Actuals) -> Iterator[Compared]:
    """Each horizon of each prediction for which the actual value is known."""
    for record in predictions:
        series = (record["entity_id"], record["target"])
        steps = actuals.get(series, {})
        last = steps.get(record["event_time"])
        if last is None:
            continue
        for row, horizon in enumerate(record["horizons_seconds"]):
            actual = steps.get(record["event_time"] + horizon * SECOND)
            if actual is not None:
                low, high = _interval(record, row)
                yield Compared(series, horizon, record["values"][row], low, high, last, actual)


def _interval(record: Json, row: int) -> tuple[float, float]:
    quantiles = record["quantiles"]
    return (quantiles[row][0], quantiles[row][-1]) if quantiles else (math.nan, math.nan)


def figures(predictions: Mapping[tuple[str, str, int], Json], features: Iterable[Json]) -> Json:
    """The `forecasts` of demo-report.json.

    Errors of series in cores, bytes and seconds can't be averaged as they are: each is divided by its series' mean
    over the stream, and every series counts the same. A series whose mean is 0 is left out. The interval is that
    between the lowest and the highest quantile level.

    Returns:
        made (records, each with all horizons), compared (horizons whose time came), mean_absolute_error and
        mean_absolute_error_persistence (shares of the series' mean; None when nothing was compared),
        interval_coverage (0 to 1, or None), interval_level, spoken_by (records by forecaster).
    """
    actuals = actual_values(features)
    compared = list(compare(predictions.values(), actuals))
    own, persistence = _by_series(compared, actuals)
    levels: list[float] = next(
        (record["quantile_levels"] for record in predictions.values() if record["quantile_levels"]), []
    )
    speakers: dict[str, int] = {}
    for record in predictions.values():
        speakers[record["spoken_by"]] = speakers.get(record["spoken_by"], 0) + 1
    return {
        "made": len(predictions),
        "mean_absolute_error": _mean(own),
        "mean_absolute_error_persistence": _mean(persistence),
        "interval_coverage": _mean([float(one.is_covered) for one in compared]),
        "interval_level": round(levels[-1] - levels[0], 3) if levels else None,
        "compared": len(compared),
        "spoken_by": dict(sorted(speakers.items())),
    }


def _by_series(compared: Iterable[Compared], actuals: Actuals) -> tuple[list[float], list[float]]:
    """The mean relative error of each series: the predictor's own, and persistence's."""
    errors: dict[tuple[str, str], list[Compared]] = {}
    for one in compared:
        errors.setdefault(one.series, []).append(one)
    own, persistence = [], []
    for series, ones in errors.items():
        scale = abs(fmean(actuals[series].values()))
        if scale > 0:
            own.append(fmean(one.error for one in ones) / scale)
            persistence.append(fmean(one.error_of_persistence for one in ones) / scale)
    return own, persistence


def _mean(values: list[float]) -> float | None:
    return round(fmean(values), 4) if values else None


def stories(
    predictions: Mapping[tuple[str, str, int], Json],
    features: Iterable[Json],
    horizon_seconds: int = 300,
    count: int = 3,
) -> list[ForecastStory]:
    """What the page shows of `count` series, those of hosts first: the forecast made `horizon_seconds` before, with its
    interval, beside what came.
    """
    actuals = actual_values(features)
    found: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    for (entity, target, made_at), record in sorted(predictions.items(), key=lambda item: item[0][2]):
        if horizon_seconds in record["horizons_seconds"]:
            row = record["horizons_seconds"].index(horizon_seconds)
            point = (made_at / 1e6 + horizon_seconds, record["values"][row], *_interval(record, row))
            found.setdefault((entity, target), []).append(point)
    chosen = sorted(found, key=lambda series: (not series[0].startswith("host:"), _rank(series[1]), series))
    return [
        ForecastStory(entity, target, horizon_seconds, tuple(found[entity, target]), _line(actuals, (entity, target)))
        for entity, target in chosen[:count]
    ]


def _rank(target: str) -> int:
    return _SHOWN_FIRST.index(target) if target in _SHOWN_FIRST else len(_SHOWN_FIRST)


def _line(actuals: Actuals, series: tuple[str, str]) -> tuple[tuple[float, float], ...]:
    return tuple((step / 1e6, value) for step, value in sorted(actuals.get(series, {}).items()))
