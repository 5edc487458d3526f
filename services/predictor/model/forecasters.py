"""Who may speak."""

from collections.abc import Sequence
from pathlib import Path

from services.predictor.model.abstract import Forecaster
from services.predictor.model.lstm import load_lstm
from services.predictor.model.simple import Ewma, Persistence, Trend

#: Without the LSTM.
NO_ARTIFACT = "none"
SHIPPED = Path(__file__).parents[1] / "artifacts" / "load"


def make_forecasters(
    artifact: str, horizons_seconds: Sequence[int], targets: Sequence[str], device: str = "cpu"
) -> list[Forecaster]:
    """The forecasters; the first one speaks until another is measured to be better.

    Args:
        artifact: the LSTM's folder, empty for the shipped one, `none` to do without.

    Raises:
        ArtifactMismatch: the artifact is broken or does not fit.
    """
    horizons = tuple(horizons_seconds)
    simple: list[Forecaster] = [Persistence(horizons), Ewma(horizons), Trend(horizons)]
    if artifact == NO_ARTIFACT:
        return simple
    return [*simple, load_lstm(Path(artifact) if artifact else SHIPPED, horizons, targets, device)]
