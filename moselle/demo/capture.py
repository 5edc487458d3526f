"""A recorded cloud to replay: where its files are, what its labels say, when it begins and ends."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moselle.demo.processes import DemoFailed
from moselle.demo.slice import LABELS, PARTS, captured_files, line_time, open_text

#: Of the ordinary operation, what detectors learn from; the rest of it tests them (12 of 18 minutes).
FIT_SHARE = 2 / 3

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Capture:
    """Times are seconds since 1970 UTC, event time."""

    folder: Path
    labels: tuple[Json, ...]
    start: float
    normal_end: float
    end: float

    @property
    def fit_seconds(self) -> int:
        """How long detectors learn."""
        return round((self.normal_end - self.start) * FIT_SHARE)

    @property
    def parts(self) -> list[Path]:
        return [self.folder / part for part in PARTS]


def read_capture(folder: Path) -> Capture:
    """Looks through a folder.

    Raises:
        DemoFailed: it is not laid out as wanted.
    """
    labels = _read_labels(folder / LABELS)
    spans = [_span(folder / part) for part in PARTS]
    normal_end = max(spans[0][1], min((label["start_epoch"] for label in labels), default=spans[0][1]))
    return Capture(folder, labels, spans[0][0], min(normal_end, spans[1][0]), spans[1][1])


def _read_labels(path: Path) -> tuple[Json, ...]:
    wanted = "wanted a capture with normal/, faults/ and labels.jsonl, or no --data for the one that ships"
    try:
        labels = tuple(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        for label in labels:
            float(label["start_epoch"]), float(label["end_epoch"]), label["kind"], label["service"]
    except FileNotFoundError:
        raise DemoFailed(f"no {path}: {wanted}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DemoFailed(f"{path} holds no labels ({error!r}): {wanted}") from None
    return labels


def _span(part: Path) -> tuple[float, float]:
    first, last = float("inf"), float("-inf")
    for path in captured_files(part):
        if ".log" in path.name:
            with open_text(path) as stream:
                moments = [moment for moment in map(line_time, stream) if moment is not None]
            first, last = min([first, *moments]), max([last, *moments])
    if first > last:
        raise DemoFailed(f"{part} holds no *.log, *.log.gz or *.log.xz with times in its lines")
    return first, last
