"""Labelled metrics of other people: folders laid out like asd and smd (`*.npz` with train, test, label) or like nab.

Nobody says what these series mean. A stream is what one detector judges at a time: a file of NAB, a machine of the
others.
"""

import csv
import itertools
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.common.errors import MoselleError

SECOND = 1_000_000
DAY = 86_400 * SECOND
BEGIN = 1_700_000_000 * SECOND
#: Seconds between samples by the folder's name, as its SOURCE.txt says; archives hold no times.
INTERVALS = {"smd": 60, "asd": 300}
DEFAULT_INTERVAL = 60
#: NAB's own rule: so much of a file is there to learn from, and never more than of 5,000 rows.
NAB_PROBATION, NAB_LONGEST = 0.15, 5000

#: A detector's design is chosen on the first; the second confirms it, once.
HALVES = ("a", "b")

Floats = NDArray[np.float64]


class DataUnreadable(MoselleError):
    """A file of a labelled data set is not what it must be; the text names it, what was found and what was wanted."""


class Stream(NamedTuple):
    """One entity's values. T steps to learn from, then S to judge; F series.

    Attributes:
        values: (T + S, F).
        times: T + S of them, microseconds.
        windows: labelled steps counted from the first judged one, first and last of each; in order, apart from each
            other. A window that began while there was still to learn begins below 0.
        path: as the labels name it; the archive's name.
    """

    path: str
    values: Floats
    times: list[int]
    num_train: int
    windows: list[tuple[int, int]]

    @property
    def train(self) -> Floats:
        """(T, F)."""
        return self.values[: self.num_train]

    @property
    def test(self) -> Floats:
        """(S, F)."""
        return self.values[self.num_train :]

    @property
    def label(self) -> NDArray[np.bool_]:
        """(S,), True within a window."""
        label = np.zeros(len(self.test), dtype=bool)
        for first, last in self.windows:
            label[max(0, first) : last + 1] = True
        return label

    @property
    def events(self) -> list[tuple[int, int]]:
        """The windows as far as they are judged."""
        return [(max(0, first), last) for first, last in self.windows]

    @property
    def step_seconds(self) -> float:
        """The usual time between two steps."""
        return float(np.median(np.diff(self.times))) / SECOND

    @property
    def days(self) -> float:
        """How long is judged."""
        return (self.times[-1] - self.times[self.num_train]) / DAY

    def steps_of(self, seconds: float) -> int:
        """How many steps that is, at least one."""
        return max(1, round(seconds / self.step_seconds))


def read_streams(folder: Path, interval: int | None = None) -> Iterator[Stream]:
    """Every stream of the folder, by name.

    Args:
        interval: seconds between the rows of archives; of `INTERVALS`, or a minute, when None.

    Raises:
        DataUnreadable: a file is missing, empty, broken, or of another form.
    """
    archives = sorted(folder.glob("*.npz"))
    if archives:
        step = interval or INTERVALS.get(folder.name, DEFAULT_INTERVAL)
        yield from (_archive(path, step * SECOND) for path in archives)
        return
    files = sorted((folder / "data").rglob("*.csv"))
    if not files:
        raise DataUnreadable(
            f"{folder} holds no *.npz, no data/*/*.csv and no labels.jsonl; "
            "wanted a folder laid out like smd, nab or openstack_live."
        )
    windows = read_windows(folder / "labels" / "combined_windows.json")
    for path in files:
        name = f"{path.parent.name}/{path.name}"
        if name not in windows:
            raise DataUnreadable(f"labels/combined_windows.json does not name {name}; wanted its windows, [] for none.")
        yield _nab(path, name, windows[name])


def read_windows(path: Path) -> dict[str, list[tuple[str, str]]]:
    """NAB's labels: of each file the first and last time of each window. Raises DataUnreadable."""
    try:
        held = json.loads(path.read_text())
        return {name: [(str(begin), str(end)) for begin, end in windows] for name, windows in held.items()}
    except OSError as error:
        raise DataUnreadable(f"{path} cannot be read: {error.strerror}; wanted NAB's labelled windows.") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise DataUnreadable(f"{path} is no JSON of files and their windows ({error}).") from None


def _archive(path: Path, step: int) -> Stream:
    train, test, label = _arrays(path)
    values = np.concatenate([train, test])
    times = [BEGIN + row * step for row in range(len(values))]
    edges = np.flatnonzero(np.diff(label.astype(bool).astype(int), prepend=0, append=0)).tolist()
    windows = [(first, after - 1) for first, after in zip(edges[::2], edges[1::2], strict=True)]
    return Stream(path.stem, _finite(path, values), times, len(train), windows)


def _arrays(path: Path) -> tuple[Floats, Floats, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file) as held:
            arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataUnreadable(f"{path} is no archive of numpy ({error}); wanted train, test and label.") from None
    if missing := {"train", "test", "label"} - arrays.keys():
        raise DataUnreadable(f"{path} holds {sorted(arrays)} and lacks {sorted(missing)}.")
    train, test, label = arrays["train"], arrays["test"], arrays["label"]
    if any(array.dtype.kind not in "biuf" for array in (train, test, label)):
        raise DataUnreadable(
            f"{path} holds train of {train.dtype}, test of {test.dtype}, label of {label.dtype}; wanted real numbers."
        )
    if wrong := np.setdiff1d(label, [0, 1]).tolist():
        raise DataUnreadable(f"{path} holds labels such as {wrong[0]}; wanted 0 for usual and 1 for anomalous.")
    fits = train.ndim == test.ndim == 2 and train.shape[1] == test.shape[1] > 0 and label.shape == (len(test),)
    if not fits or len(train) < 2 or len(test) < 1:
        raise DataUnreadable(
            f"{path} holds train {train.shape}, test {test.shape}, label {label.shape}; "
            "wanted (T, F), (S, F) and (S,) with T > 1 and S > 0."
        )
    return train.astype(np.float64), test.astype(np.float64), label


def _finite(path: Path, values: Floats) -> Floats:
    if wrong := int(np.count_nonzero(~np.isfinite(values))):
        raise DataUnreadable(f"{path} holds {wrong} values that are no finite numbers; wanted none.")
    return values


def _nab(path: Path, name: str, windows: Sequence[tuple[str, str]]) -> Stream:
    times, values = _rows(path)
    num_train = num_probation(len(times))
    found = [tuple(_place(path, times, edge) - num_train for edge in window) for window in windows]
    if any(first > last for first, last in found):
        raise DataUnreadable(f"{path} has a labelled window that ends before it begins; wanted its first time first.")
    kept = [(first, last) for first, last in found if last >= 0]
    return Stream(name, _finite(path, np.array(values)[:, None]), times, num_train, kept)


def _rows(path: Path) -> tuple[list[int], list[float]]:
    try:
        with path.open(newline="") as file:
            rows = [(to_micros(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise DataUnreadable(f"{path} is no table of timestamp and value ({error!r}).") from None
    if num_probation(len(rows)) < 2:
        raise DataUnreadable(
            f"{path} holds {len(rows)} rows; wanted at least 14, of which the first are to learn from."
        )
    times = [time for time, _ in rows]
    if any(after < before for before, after in itertools.pairwise(times)) or float(np.median(np.diff(times))) <= 0:
        raise DataUnreadable(f"{path} holds rows whose times go back or stand still; wanted them in order of time.")
    return times, [value for _, value in rows]


def num_probation(num_rows: int) -> int:
    """How many rows at the head of a file NAB does not score."""
    return int(NAB_PROBATION * min(num_rows, NAB_LONGEST))


def to_micros(text: str) -> int:
    """A time as NAB writes it, as UTC where it names no zone. Raises ValueError."""
    told = datetime.fromisoformat(text)
    seconds = int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp())
    if seconds < 0:
        raise ValueError(f"{text} lies before 1970")
    return seconds * SECOND


def _place(path: Path, times: Sequence[int], edge: str) -> int:
    """NAB begins and ends a window at the first row of exactly that time."""
    try:
        return times.index(to_micros(edge))
    except ValueError:
        raise DataUnreadable(f"{path} has no row at {edge}, where a labelled window begins or ends.") from None


def half_of(stream: Stream) -> str:
    """One of `HALVES`, by a checksum of the stream's name: nobody chose which stream lies where."""
    return HALVES[zlib.crc32(stream.path.encode()) % 2]


def entity_of(stream: Stream) -> str:
    """Under which name the stream's records come; one of its own, though files in two folders have one name."""
    return f"host:{stream.path.removesuffix('.csv').replace('/', '.')}"


def as_records(stream: Stream) -> Iterator[Mapping[str, Any]]:
    """The stream as records of metrics.samples.v1: one entity, each series an unknown metric."""
    entity_id = entity_of(stream)
    series = [f"metric_{number}" for number in range(stream.values.shape[1])]
    for place, (time, row) in enumerate(zip(stream.times, stream.values.tolist(), strict=True)):
        yield {
            "event_time": time, "cluster": "evaluation", "entity_id": entity_id, "parent_entity_ids": [],
            "series": series, "values": row, "job": "file", "source_topic": stream.path, "source_partition": 0,
            "source_offsets": [place], "source_index": 0, "ingest_time": time,
        }  # fmt: skip
