"""How wrong forecasters are on examples, beside each other."""

from collections.abc import Sequence

import numpy as np

from services.predictor.core.targets import Floats
from services.predictor.model.abstract import Forecaster
from services.predictor.train.dataset import Examples

#: An error counts as at most so many times the series' size.
WORST = 10.0


def scaled_errors(
    forecasters: Sequence[Forecaster], examples: Examples, target: str, horizons_seconds: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Mean absolute error over the series' size, by forecaster and horizon, where all of them spoke."""
    targets = [target] * len(examples.look)
    errors = {f.name: _errors(f.forecast(examples.look, targets), examples) for f in forecasters}
    together = np.logical_and.reduce([np.isfinite(error) for error in errors.values()])
    return {
        name: {str(h): _mean(error[:, i][together[:, i]]) for i, h in enumerate(horizons_seconds)}
        for name, error in errors.items()
    }


def _errors(said: Floats, examples: Examples) -> Floats:
    return np.minimum(np.abs(said - examples.actual) / examples.look.scale[:, None], WORST)


def _mean(errors: Floats) -> float:
    return round(float(errors.mean()), 5) if len(errors) else float("nan")
