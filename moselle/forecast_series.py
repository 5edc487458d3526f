"""A recorded folder as the predictor's series: the real ingest and the real features, without a broker."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moselle.offline import derived_records
from services.common.topics import METRICS_SAMPLES

if TYPE_CHECKING:
    from services.predictor.core.targets import Floats


def feature_vectors(folder: Path) -> Iterator[dict[str, Any]]:
    """The records of features.v1 for a recorded folder, in the order in which the features service writes them.

    Of a folder that has them, only its metrics.jsonl files are read, its parts as one recording: logs give no target.
    """
    from services.features.core.batch import feature_records

    scrapes = sorted(folder.rglob("metrics.jsonl*"))
    derived = derived_records(scrapes or folder)
    yield from feature_records(each for each in derived if each[0] == METRICS_SAMPLES.name)


def table_vectors(folder: Path, num_rows: int) -> Iterator[dict[str, Any]]:
    """Tables of numbers as feature vectors, for want of a recording: each column of an .npz's `train` is an entity.

    A row is taken for a step of ten seconds whatever it was, so horizons are 6 to 90 rows. Values lie in 0..1.
    """
    import numpy as np

    tables = {path.stem: np.load(path)["train"][-num_rows:] for path in sorted(folder.glob("*.npz"))}
    for row in range(max(map(len, tables.values()))):
        for stem, table in tables.items():
            for column, value in enumerate(table[row].tolist() if row < len(table) else ()):
                yield {
                    "event_time": row * 10_000_000, "step_seconds": 10, "ingest_time": 0, "cluster": "table",
                    "entity_id": f"column:{stem}-{column}", "parent_entity_ids": [], "feature_set": "metrics.core",
                    "feature_set_version": 1, "names": ["cpu_used_ratio"], "values": [value],
                }  # fmt: skip


def read_series(folder: Path, targets: Sequence[str]) -> dict[str, "Floats"]:
    """By `entity|target` its values, one a step from its first to its last, NaN where missing.

    Raises:
        SettingsInvalid: there is no such folder, or nothing to read in it.
    """
    import numpy as np

    from services.common.errors import InvalidMessage
    from services.predictor.core.steps import read_step
    from services.predictor.core.targets import FEATURE_SET

    found: dict[str, dict[int, float]] = {}
    for record in feature_vectors(folder):
        if record["feature_set"] != FEATURE_SET:
            continue
        try:
            step = read_step(record, frozenset(targets))
        except InvalidMessage:
            continue
        for name, value in step.values.items():
            found.setdefault(f"{step.entity_id}|{name}", {}).setdefault(step.number, value)
    series = {}
    for key, values in found.items():
        first, last = min(values), max(values)
        series[key] = np.array([values.get(number, np.nan) for number in range(first, last + 1)])
    return series
