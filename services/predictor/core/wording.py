"""What a prediction rests on, in words and in the fields of predictions.v1."""

from collections.abc import Sequence
from typing import Any

from services.common.cloudevents import event_headers


def reasons(
    spoken_by: str,
    errors: Sequence[tuple[str, float]],
    num_residuals: int,
    coverage: float,
    num_filled: int,
    is_stand_in: bool,
) -> list[str]:
    """Two to four sentences.

    Args:
        errors: mean error over the series' size, lately, by forecaster; NaN where it is not known.
        num_residuals: the fewest errors that a part of the interval rests on.
        coverage: share of what came that lay in the interval; NaN before anything came.
        is_stand_in: the preferred forecaster had no word, so the first one speaks.
    """
    measured = ", ".join([f"{name} {error:.3g}" for name, error in errors if error == error])
    if is_stand_in:
        said = [f"{spoken_by} speaks because the preferred forecaster has too short a past"]
    elif measured:
        said = [f"{spoken_by} speaks; mean error over the series' size in the last half hour: {measured}"]
    else:
        said = [f"{spoken_by} speaks: nothing has been measured yet"]
    if num_residuals:
        covered = f", of which {coverage:.0%} of what came lay within" if coverage == coverage else ""
        said.append(f"the 90 % interval rests on at least {num_residuals} past errors at each distance{covered}")
    else:
        said.append("the interval is the range of the last quarter of an hour, widened: too few errors are known")
    if num_filled:
        said.append(f"{num_filled} of the last 6 steps are missing and taken as unchanged; the interval is widened")
    return said


def prediction_headers(record: dict[str, Any]) -> list[tuple[str, bytes]]:
    """The CloudEvents 1.0 attributes of a prediction as Kafka headers (binary content mode)."""
    at = record["event_time"]
    event_id = f"{record['entity_id']}|{record['target']}|{at}"
    return event_headers(event_id, f"/moselle/{record['cluster']}/predictor", "moselle.prediction.v1", at)
