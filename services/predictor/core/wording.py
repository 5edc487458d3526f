"""What a prediction rests on, in words and in the fields of predictions.v1."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from services.common.clock import from_micros


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
    return [
        ("ce_id", f"{record['entity_id']}|{record['target']}|{at}".encode()),
        ("ce_source", f"/moselle/{record['cluster']}/predictor".encode()),
        ("ce_type", b"moselle.prediction.v1"),
        ("ce_specversion", b"1.0"),
        ("ce_time", _iso(at)),
        ("content-type", b"application/avro"),
    ]


@lru_cache(maxsize=16)
def _iso(micros: int) -> bytes:
    """All who are predicted together share the time."""
    return from_micros(micros).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()
