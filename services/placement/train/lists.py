"""What worlds are drawn from: node and pod lists laid out like openb, usage traces, how much equal machines differ."""

import csv
import gzip
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from services.common.errors import SettingsInvalid
from services.placement.train.physics import Floats, Lists, Purpose

#: Longer works than this many seconds are left out: a window of hours says nothing of them.
LONGEST_WORK = 14_400.0
#: Traces whose mean is below this share, %, are left out: they are kept in whole percents.
LEAST_MEAN_PERCENT = 5.0
USAGE_COLUMNS = 288
FITTED = Path(__file__).with_name("fitted.json")
_NODE_COLUMNS = ("cpu_milli", "memory_mib")
_POD_COLUMNS = (*_NODE_COLUMNS, "creation_time", "deletion_time")


class Sources(NamedTuple):
    """Where everything came from, and how much was left out."""

    nodes: str
    pods: str
    usage: str
    noise: str
    num_nodes: int
    num_pods: int
    left_out: dict[str, int]


def read_lists(folder: Path, purpose: Purpose, pod_list: str | None = None) -> tuple[Lists, Sources]:
    """The lists of a folder, with the traces of a purpose's days.

    Usage and noise are read from folders `planetlab` and `azure_vm_noise` in the folder or beside it; where one is
    missing, made from what was fitted to them (fit.py).

    Raises:
        SettingsInvalid: something is missing, empty or no size.
    """
    if not folder.is_dir():
        raise SettingsInvalid(f"{folder} is no folder: give one with *node_list*.csv and *pod_list*.csv, as openb")
    node_file = _choose(folder, "node_list", "all_node", None)
    pod_file = _choose(folder, "pod_list", "default", pod_list)
    cpu, memory, num_nodes = _most_common_node(node_file)
    rows, left_out = _pods(pod_file, cpu, memory)
    shapes, usage = _usage(folder, purpose)
    sigmas, noise = _noise(folder)
    lists = Lists(cpu, memory, rows[:, 0], rows[:, 1], rows[:, 2], shapes, sigmas)
    return lists, Sources(node_file.name, pod_file.name, usage, noise, num_nodes, len(rows), left_out)


def _choose(folder: Path, part: str, preferred: str, named: str | None) -> Path:
    """The file of a kind: the named one, the preferred one, or the only one."""
    files = sorted(folder.glob(f"*{part}*.csv"))
    names = ", ".join(file.name for file in files)
    if not files:
        raise SettingsInvalid(f"{folder} has no *{part}*.csv: give a folder with node and pod lists, as openb")
    if named is not None:
        chosen = [file for file in files if file.name == named]
        if not chosen:
            raise SettingsInvalid(f"{folder} has no list {named!r}: wanted one of {names}")
    else:
        chosen = [file for file in files if preferred in file.name] or files
    if len(chosen) > 1:
        raise SettingsInvalid(f"{folder} has several lists ({names}) and none called {preferred}: name one by --pods")
    return chosen[0]


def _rows(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a list that has these columns."""
    try:
        with file.open(encoding="utf-8", newline="") as text:
            reader = csv.DictReader(text)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise SettingsInvalid(f"{file.name} has no column {', '.join(missing)}: wanted {', '.join(columns)}")
            yield from enumerate(reader, start=2)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsInvalid(f"{file.name} is no list: wanted CSV in UTF-8, as openb has it ({error})") from None


def _size(file: Path, line: int, row: Mapping[str, str | None], name: str, least: float = 0.0) -> float:
    """A number of a row. Raises SettingsInvalid for what is none, not finite or below `least`."""
    text = row[name]
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not least <= value < 2.0**43:
        raise SettingsInvalid(f"{file.name} line {line}: {name} is {text!r}, wanted a number from {least:g} up")
    return value


def _most_common_node(file: Path) -> tuple[float, float, int]:
    """Thousandths and MiB of the kind of node that the list has most of, and how many nodes it has of any kind."""
    kinds = Counter(
        (math.floor(_size(file, line, row, "cpu_milli", 1)), math.floor(_size(file, line, row, "memory_mib", 1)))
        for line, row in _rows(file, _NODE_COLUMNS)
    )
    if not kinds:
        raise SettingsInvalid(f"{file.name} has no node: wanted at least one row")
    (cpu, memory), _ = max(kinds.items(), key=lambda item: (item[1], item[0]))
    return float(cpu), float(memory), kinds.total()


def _pods(file: Path, most_cpu: float, most_memory: float) -> tuple[Floats, dict[str, int]]:
    """(P, 3) requests and works, and how many rows were left out why. Accelerators are no part of this physics.

    What needs more than half a node waits for one that is nearly empty: how long says how a cluster is cut, and would
    drown what the scenarios ask.
    """
    kept = []
    left_out = {"never ended": 0, "works longer than 4 h": 0, "larger than half a node": 0}
    for line, row in _rows(file, _POD_COLUMNS):
        cpu, memory = (math.ceil(_size(file, line, row, name)) for name in _NODE_COLUMNS)
        work = _work(file, line, row)
        if work <= 0 or cpu == 0:
            left_out["never ended"] += 1
        elif work > LONGEST_WORK:
            left_out["works longer than 4 h"] += 1
        elif cpu > most_cpu / 2 or memory > most_memory / 2:
            left_out["larger than half a node"] += 1
        else:
            kept.append((cpu, memory, work))
    if not kept:
        told = ", ".join(f"{number} {why}" for why, number in left_out.items() if number) or "it has no row"
        raise SettingsInvalid(
            f"{file.name} has no pod to simulate ({told}): wanted pods that ended and need at most half a node"
        )
    return np.array(kept, dtype=np.float64), left_out


def _work(file: Path, line: int, row: Mapping[str, str | None]) -> float:
    """Seconds from start (or creation) to the end; 0 where there is no end."""
    if not row["deletion_time"]:
        return 0.0
    began = "scheduled_time" if row.get("scheduled_time") else "creation_time"
    return _size(file, line, row, "deletion_time") - _size(file, line, row, began)


def beside(folder: Path, name: str) -> list[Path]:
    """The files of a folder `name` in the given one or beside it, by name."""
    for place in (folder / name, folder.resolve().parent / name):
        files = sorted(place.glob("*.csv.gz"))
        if files:
            return files
    return []


def _usage(folder: Path, purpose: Purpose) -> tuple[Floats, str]:
    """(V, 288) shapes of the days of a purpose, and their names.

    The last day is for reporting and all before it for tuning; of a single day one half of the machines each.
    """
    files = beside(folder, "planetlab")
    if not files:
        return _made_up_usage(purpose)
    if len(files) == 1:
        first = 1 if purpose == "report" else 0
        return shapes_of(read_usage(files[0])[first::2]), f"{files[0].name}, every other machine"
    days = files[-1:] if purpose == "report" else files[:-1]
    return shapes_of(np.concatenate([read_usage(file) for file in days])), ", ".join(file.name for file in days)


def read_usage(file: Path) -> Floats:
    """(V, 288) percent of a processor."""
    try:
        with gzip.open(file, "rt", encoding="utf-8") as text:
            rows = [[float(cell) for cell in line.rstrip("\n").split(",")[1:]] for line in text]
    except (OSError, ValueError) as error:
        raise SettingsInvalid(
            f"{file.name} is no day of usage: wanted a name and 288 numbers a line ({error})"
        ) from None
    if not rows or any(len(row) != USAGE_COLUMNS for row in rows):
        raise SettingsInvalid(f"{file.name} is no day of usage: wanted a name and 288 numbers a line")
    return np.array(rows)


def shapes_of(percent: Floats) -> Floats:
    """Traces with mean 1, of machines that did something."""
    means = percent.mean(axis=1)
    busy = percent[means >= LEAST_MEAN_PERCENT]
    if not len(busy):
        raise SettingsInvalid(
            f"no usage trace has a mean of {LEAST_MEAN_PERCENT:g} %: wanted machines that do something"
        )
    shapes: Floats = busy / busy.mean(axis=1, keepdims=True)
    return shapes


def fitted() -> dict[str, Any]:
    """The parameters that ship."""
    found: dict[str, Any] = json.loads(FITTED.read_text(encoding="utf-8"))
    return found


def _made_up_usage(purpose: Purpose) -> tuple[Floats, str]:
    """Shapes as lognormal series of first order, from the fitted parameters of the purpose's day."""
    days = fitted()["usage"]
    day = sorted(days)[-1 if purpose == "report" else 0]
    of = days[day]
    rng = np.random.default_rng(int(day))
    variations = np.exp(of["log_variation_mean"] + of["log_variation_sigma"] * rng.standard_normal(of["machines"]))
    series = np.empty((of["machines"], USAGE_COLUMNS))
    series[:, 0] = rng.standard_normal(of["machines"])
    keep = of["autocorrelation"]
    for column in range(1, USAGE_COLUMNS):
        new = rng.standard_normal(of["machines"])
        series[:, column] = keep * series[:, column - 1] + math.sqrt(1 - keep**2) * new
    shapes = np.exp(np.sqrt(np.log1p(variations**2))[:, None] * series)
    return shapes / shapes.mean(axis=1, keepdims=True), f"made from parameters fitted to day {day}"


def _noise(folder: Path) -> tuple[Floats, str]:
    """(C,) spread of each class of workload."""
    files = beside(folder, "azure_vm_noise")
    if not files:
        return np.array(list(fitted()["noise_sigmas"].values())), "parameters fitted to azure_vm_noise"
    return np.array(list(noise_sigmas(files).values())), f"{len(files)} files of azure_vm_noise"


def noise_sigmas(files: list[Path]) -> dict[str, float]:
    """Spread of each test's results between equal machines, the mean over regions.

    Half the distance of the 16th and 84th percentile of the logarithms: one machine that is broken does not count as
    noise.
    """
    spreads: dict[str, list[float]] = {}
    for file in files:
        test = file.name.partition("_vm_lifespan")[0].removeprefix("test_suite_")
        with gzip.open(file, "rt", encoding="utf-8") as text:
            values = np.array([float(row["value"]) for row in csv.DictReader(text) if row.get("value")])
        if not (values > 0).any():
            raise SettingsInvalid(f"{file.name} has no result above 0: wanted a column value")
        low, high = np.percentile(np.log(values[values > 0]), [15.87, 84.13])
        spreads.setdefault(test, []).append(float(high - low) / 2)
    return {test: sum(found) / len(found) for test, found in sorted(spreads.items())}
