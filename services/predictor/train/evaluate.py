"""How good predictions are: the real pipeline over recorded features in order, then what was said against what came.

Nothing is fitted here. The backtest that chooses the speaker has, at each prediction, only seen what came before it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import ALERTS, FEATURES
from services.predictor.core.steps import STEP
from services.predictor.core.targets import STEP_SECONDS, Floats
from services.predictor.model.abstract import Forecaster
from services.predictor.model.engine import Made
from services.predictor.model.simple import Trend
from services.predictor.pipeline import Asked, PredictorStage
from services.predictor.settings import PredictorSettings

BATCH = 200
#: The share of a series that must be right for its forecasts to pass.
PASS = 0.85
SERVED = "served"


class Said(NamedTuple):
    """One prediction of one series.

    Attributes:
        number: the step it was made at.
        values: (F + 1, H) what each forecaster said, and last what was served.
        bounds: (H, 2) the interval.
    """

    entity_id: str
    target: str
    number: int
    speaker: str
    values: Floats
    bounds: Floats


class Replay:
    """A stage that reads features without a broker.

    Attributes:
        said: every prediction so far.
        alerts: the alert records so far.
        actual: by (entity, target) and step what came.
    """

    def __init__(self, settings: PredictorSettings, forecasters: Sequence[Forecaster], keeps: bool = True) -> None:
        self._settings = settings
        self._names = [forecaster.name for forecaster in forecasters]
        self._held: dict[bytes, Mapping[str, Any]] = {}
        listen = self._listen if keeps else None
        self._stage = PredictorStage(settings, lambda value: self._held[value or b""], FakeClock(), forecasters, listen)
        self._partition = TopicPartition(FEATURES.name, 0)
        self._stage.assign(self._partition, PartitionState())
        self._offset = 0
        self.said: list[Said] = []
        self.alerts: list[dict[str, Any]] = []
        self.num_predictions = 0
        self.actual: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)

    def take(self, records: Iterable[Mapping[str, Any]], batch: int = BATCH) -> None:
        """Reads records of features.v1 in their order."""
        waiting: list[Record] = []
        for fields in records:
            self._note(fields)
            value = str(self._offset).encode()
            self._held[value] = fields
            waiting.append(Record(*self._partition, self._offset, 0, b"", value))
            self._offset += 1
            if len(waiting) >= batch:
                self._process(waiting)
                waiting = []
        self._process(waiting)

    def _process(self, records: Sequence[Record]) -> None:
        self._stage.process(records, Outputs(self._keep))
        self._held.clear()

    def _keep(self, topic: str, record: Mapping[str, Any]) -> bytes:
        if topic == ALERTS.name:
            self.alerts.append(dict(record))
        else:
            self.num_predictions += 1
        return b""

    def _note(self, fields: Mapping[str, Any]) -> None:
        number = fields["event_time"] // STEP
        for name, value in zip(fields["names"], fields["values"], strict=True):
            if name in self._settings.targets and np.isfinite(value):
                self.actual[fields["entity_id"], name].setdefault(number, value)

    def _listen(self, asked: Sequence[Asked], made: Made) -> None:
        for index, (of, row) in enumerate(zip(made.of.tolist(), made.row.tolist(), strict=True)):
            one = asked[of]
            values = np.concatenate([made.forecasts[index], made.values[index][None]])
            entity_id, target = one.entity.subject.entity_id, self._settings.targets[row]
            speaker, bounds = self._names[made.speaker[index]], made.quantiles[index][:, [0, -1]]
            self.said.append(Said(entity_id, target, one.event_time // STEP, speaker, values, bounds))


class Outcome(NamedTuple):
    """What was said and came of one group of series: rows are predictions, `where` the step of each.

    Attributes:
        values: (n, F + 1, H); bounds: (n, H, 2); actual: (n, H), NaN where nothing came.
    """

    values: Floats
    bounds: Floats
    actual: Floats
    series: list[str]
    speakers: list[str]


def outcome(replay: Replay, said: Sequence[Said], horizons: Sequence[int]) -> Outcome:
    """Predictions beside what came."""
    ahead = [h // STEP_SECONDS for h in horizons]
    actual = [[replay.actual[s.entity_id, s.target].get(s.number + steps, np.nan) for steps in ahead] for s in said]
    return Outcome(
        np.stack([s.values for s in said]), np.stack([s.bounds for s in said]), np.array(actual),
        [f"{s.entity_id}|{s.target}" for s in said], [s.speaker for s in said],
    )  # fmt: skip


def figures(got: Outcome, names: Sequence[str], at: int) -> dict[str, Any]:
    """The figures of one horizon, over the predictions for which something came and who is compared had a word.

    Args:
        names: of the forecasters; what was served is last.
        at: which horizon.
    """
    actual, values = got.actual[:, at], got.values[:, :, at]
    known = np.isfinite(actual) & np.isfinite(values[:, _compared(names)]).all(axis=1)
    if not known.any():
        return {"num": 0}
    error = np.abs(values[known] - actual[known, None])  # (n, F + 1)
    low, high = got.bounds[known, at, 0], got.bounds[known, at, 1]
    size = float(np.abs(actual[known]).sum())
    slack = 1e-6 * np.abs(actual[known])
    covered = (actual[known] >= low - slack) & (actual[known] <= high + slack)
    mean = _by_name(names, error.mean(axis=0))
    return {
        "num": int(known.sum()),
        "mean_absolute_error": {name: _short(value) for name, value in mean.items()},
        "one_minus_wape": {name: _short(1 - value * len(error) / size) for name, value in mean.items()} if size else {},
        "skill_over_persistence": {name: _skill(value, mean["persistence"]) for name, value in mean.items()},
        "skill_over_ewma": _skill(mean[SERVED], mean["ewma"]),
        "interval_coverage": _short(covered.mean()),
        "interval_width_over_size": _short((high - low).sum() / size) if size else None,
    }  # fmt: skip


def _compared(names: Sequence[str]) -> list[int]:
    """Those whose errors are told side by side; the trend has no word for the first quarter of an hour."""
    return [index for index, name in enumerate([*names, SERVED]) if name != Trend.name]


def _by_name(names: Sequence[str], mean: Floats) -> dict[str, float]:
    """Without whoever had no word on all of it."""
    return {name: value for name, value in zip([*names, SERVED], mean.tolist(), strict=True) if value == value}


def _skill(error: float, rival: float) -> float | None:
    return _short(1 - error / rival) if rival else None


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def report(replay: Replay, names: Sequence[str], horizons: Sequence[int], at_seconds: Sequence[int]) -> dict[str, Any]:
    """All figures: by kind of entity and target and horizon, who spoke, and scaled over everything."""
    groups: dict[str, list[Said]] = defaultdict(list)
    for said in replay.said:
        groups[f"{said.entity_id.partition(':')[0]} {said.target}"].append(said)
    chosen = [horizons.index(seconds) for seconds in at_seconds if seconds in horizons]
    by_group = {}
    for group, members in sorted(groups.items()):
        got = outcome(replay, members, horizons)
        by_group[group] = {str(horizons[at]): figures(got, names, at) for at in chosen}
    everything = outcome(replay, replay.said, horizons)
    return {
        "predictions": len(replay.said),
        "spoke": dict(Counter(everything.speakers)),
        "scaled": {str(horizons[at]): scaled_figures(everything, names, at) for at in chosen},
        "by_kind_and_target": by_group,
        "alerts": [f"{a['status']} {a['rule']} {a['entity_id']}" for a in replay.alerts],
    }


def scaled_figures(got: Outcome, names: Sequence[str], at: int) -> dict[str, Any]:
    """Errors over each series' own mean size, each series with one vote; series that are always zero are left out."""
    errors, covered, passed = [], [], []
    series = np.array(got.series)
    for name in sorted(set(got.series)):
        rows = series == name
        actual, values, bounds = got.actual[rows, at], got.values[rows][:, :, at], got.bounds[rows, at]
        known = np.isfinite(actual) & np.isfinite(values[:, _compared(names)]).all(axis=1)
        size = np.abs(actual[known]).mean() if known.any() else 0.0
        if size <= 0:
            continue
        error = np.abs(values[known] - actual[known, None]).mean(axis=0) / size
        errors.append(np.minimum(error, 10.0))
        slack = 1e-6 * np.abs(actual[known])
        covered.append(
            np.mean((actual[known] >= bounds[known, 0] - slack) & (actual[known] <= bounds[known, 1] + slack))
        )
        passed.append(1 - error[-1] >= PASS)
    if not errors:
        return {"num_series": 0}
    mean = _by_name(names, np.mean(errors, axis=0))
    return {
        "num_series": len(errors),
        "scaled_error": {name: _short(value) for name, value in mean.items()},
        "skill_over_persistence": {name: _skill(value, mean["persistence"]) for name, value in mean.items()},
        "interval_coverage": _short(np.mean(covered)),
        "share_of_series_at_85_percent": _short(np.mean(passed)),
    }
