"""False drift alarms where nothing drifts, delays where something does, beside River's ADWIN on the values."""

import os
import time

import numpy as np
import pytest
import river.drift

from services.anomaly.model.bank import Floats
from services.anomaly.model.drift import DRIFT_DTYPE, DriftBank, relearnt
from tests.bench.drift_streams import CLEAN, SHIFTED, shifted

pytestmark = pytest.mark.bench

MINUTE = 60_000_000
#: Three days are learnt, then ten thousand points judged.
LEARNT, JUDGED = 3 * 1440, 10_000
SERIES = int(os.environ.get("MOSELLE_BENCH_SERIES", "300"))
PLANTED = 40
SHIFTS = ("mean 1", "mean 2", "mean 4", "scatter 2", "scatter 0.5", "slope 4")


def alarms(values: Floats) -> dict[int, list[int]]:
    """Times of the alarms of each series that has any."""
    bank, found = DriftBank(), dict[int, list[int]]()
    rows = np.zeros(values.shape[1], bank.dtype)
    for at, row in enumerate(values):
        for which in bank.update(rows, row, np.full(len(row), at * MINUTE)).which.tolist():
            found.setdefault(which, []).append(at)
        relearnt(rows)
    return found


def river_alarms(values: Floats) -> int:
    """How many alarms River's ADWIN with its defaults gives on one series as it is."""
    adwin, num = river.drift.ADWIN(), 0
    for x in values.tolist():
        adwin.update(x)
        num += adwin.drift_detected
    return num


@pytest.mark.parametrize("name", CLEAN)
def test_false_alarms(name: str) -> None:
    """Fewer than one series in twenty, where nothing drifts."""
    values = CLEAN[name](np.random.default_rng(11), LEARNT + JUDGED, SERIES)
    found = alarms(values)
    others = [river_alarms(column) for column in values[LEARNT:].T[:100]]
    share = len(found) / SERIES
    rivals = f"River's ADWIN on values: {np.mean(np.array(others) > 0):.0%}, {np.mean(others):.1f} a series"
    print(f"{name}: {share:.1%} of {SERIES} series with a false alarm; {rivals}")
    if "not stationary" not in name:
        assert share < 0.05


@pytest.mark.parametrize("name", SHIFTED)
def test_shifts_are_found(name: str) -> None:
    """Printed: how many of the planted changes, after how many points (a day has 1,440)."""
    at = LEARNT + 3000
    values = CLEAN[name](np.random.default_rng(12), at + 5000, PLANTED)
    for kind in SHIFTS:
        found = alarms(shifted(kind, values, at, SHIFTED[name]))
        delays = [min(t for t in times if t >= at) - at for times in found.values() if times[-1] >= at]
        middle, late = np.percentile(delays, [50, 90]) if delays else (np.nan, np.nan)
        print(f"{name}, {kind}: {len(delays) / PLANTED:.0%} found, after {middle:.0f} points (p90 {late:.0f})")


@pytest.mark.parametrize("series", [100, 10_000])
def test_cost(series: int) -> None:
    """Printed: bytes a series, CPU time a point, and a sample of a scrape between points."""
    bank, draw = DriftBank(), np.random.default_rng(1)
    rows = np.zeros(series, bank.dtype)
    num, values = 12 * max(20, 20_000 // series), draw.standard_normal(series)
    began = time.process_time()
    for at in range(num):
        bank.update(rows, values, np.full(series, at * 5_000_000))
    took = (time.process_time() - began) / num / series
    print(f"{series} series: {DRIFT_DTYPE.itemsize} bytes each, {1e9 * took:.0f} ns a sample at 5 s, a point a minute")
