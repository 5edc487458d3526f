"""Samples a second through each bank, from 100 series to 100,000; half-space trees and forest beside their rivals."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import river.anomaly
from sklearn.ensemble import IsolationForest

from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.bank import Bank
from services.anomaly.model.columns import Columns
from services.anomaly.model.each import Each
from services.anomaly.model.forest import fit
from services.anomaly.model.hours import HOUR, Remembering
from services.anomaly.model.moment_banks import DeviationBank, GaussianBank
from services.anomaly.model.range_bank import RangeBank
from services.anomaly.model.range_novelty import RangeNovelty
from services.anomaly.model.robust_bank import RobustBank
from services.anomaly.model.robust_z import RobustZ
from services.anomaly.model.tree_bank import TreeBank

pytestmark = pytest.mark.bench

SIZES, BATCH, ROUNDS = (100, 10_000, 100_000), 1000, 12
#: Series that are really taught; the others begin with copies of their rows.
TAUGHT, LESSONS = 1000, 600
STEP = 5_000_000

DEFAULT = "default set"
SETS: dict[str, Callable[[], Sequence[Bank]]] = {
    DEFAULT: lambda: (RangeBank(), Remembering(RobustBank())),
    "range novelty": lambda: (RangeBank(),),
    "robust z": lambda: (RobustBank(),),
    "robust z with memory": lambda: (Remembering(RobustBank()),),
    "absolute deviation": lambda: (DeviationBank(),),
    "Gaussian": lambda: (GaussianBank(),),
    "half-space trees": lambda: (TreeBank(),),
}


def lowest(work: Callable[[], None], rounds: int = ROUNDS) -> float:
    """CPU seconds of the cheapest of several runs."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


class Load:
    """Series of a set of banks, each of which has a past, and new values for them."""

    def __init__(self, banks: Sequence[Bank], num: int) -> None:
        self.draw = np.random.default_rng(1)
        self.num = num
        self.time = 0
        self.columns = [Columns(bank) for bank in banks]
        for columns in self.columns:
            slots = columns.add(num)
            rows = np.zeros(TAUGHT, columns.bank.dtype)
            for _ in range(LESSONS):
                columns.bank.learn(rows, self.draw.normal(10, 2, TAUGHT), np.zeros(TAUGHT, np.int64))
            columns.put(slots, rows[slots % TAUGHT])

    def scrape(self) -> None:
        """One value of each series, in micro-batches: judged, banded, learnt, remembered."""
        self.time += STEP
        for first in range(0, self.num, BATCH):
            slots = np.arange(first, min(first + BATCH, self.num))
            values, times = self.draw.normal(10, 2, len(slots)), np.full(len(slots), self.time)
            for columns in self.columns:
                rows = columns.at(slots, times)
                columns.bank.score(rows, values, times)
                columns.bands(slots, times)
                columns.learn(slots, values, times)
                columns.remember(slots, values, times)


@pytest.mark.parametrize("name", SETS)
def test_samples_per_second(name: str) -> None:
    """Printed, not asserted: the machine is shared."""
    costs = []
    for num in SIZES:
        load = Load(SETS[name](), num)
        repeats = max(1, 2000 // num)
        load.scrape()

        def work(load: Load = load, repeats: int = repeats) -> None:
            for _ in range(repeats):
                load.scrape()

        costs.append(1e6 * lowest(work) / (num * repeats))
    size = sum(columns.num_bytes for columns in load.columns) // num
    said = ", ".join(f"{num:,}: {cost:.2f} us ({1e6 / cost:,.0f}/s)" for num, cost in zip(SIZES, costs, strict=True))
    print(f"\n{name}: {said}; 100,000 to 100: {costs[-1] / costs[0]:.2f}; {size:,} bytes a series")


def test_new_series() -> None:
    """The first minutes of 10,000 series, when robust z keeps every value and sorts what it keeps."""
    load = Load(SETS[DEFAULT](), 10_000)
    for columns in load.columns:
        columns.clear(np.arange(10_000))
    print(f"\nfirst 64 values of new series: {1e6 * lowest(load.scrape, 64) / 10_000:.2f} us at the least, ", end="")
    for columns in load.columns:
        columns.clear(np.arange(10_000))
    began = time.process_time()
    for _ in range(64):
        load.scrape()
    print(f"{1e6 * (time.process_time() - began) / 640_000:.2f} us in the mean")


def test_an_hour_closes() -> None:
    """What it costs a series, once an hour."""
    load = Load((Remembering(RobustBank()),), 10_000)
    columns, slots = load.columns[0], np.arange(10_000)
    hour = 0

    def work() -> None:
        nonlocal hour
        hour += 1
        for first in range(0, len(slots), BATCH):
            some = slots[first : first + BATCH]
            columns.at(some, np.full(len(some), hour * HOUR))

    print(f"\nhour of a series closed: {1e6 * lowest(work) / len(slots):.2f} us")


def test_half_space_trees_beside_river() -> None:
    """The same scores to the bit; River's models stand beside the first 20 series, in micro-batches of
    20, 100 and 1,000.
    """
    for num in (20, 100, 1000):
        bank, draw = TreeBank(limits=(0.0, 1.0)), np.random.default_rng(1)
        models = [river.anomaly.HalfSpaceTrees(seed=1) for _ in range(20)]
        columns = Columns(bank)
        slots, times = columns.add(num), np.zeros(num, np.int64)
        spent: dict[str, list[float]] = {"river": [], "bank": []}
        for _ in range(400):
            values = draw.beta(2, 5, num)
            began = time.process_time()
            rows = columns.at(slots, times)
            scores = bank.river_score(rows, values)
            bank.learn(rows, values, times)
            columns.put(slots, rows)
            between = time.process_time()
            expected = []
            for model, value in zip(models, values[:20].tolist(), strict=True):
                expected.append(model.score_one({"x": value}))
                model.learn_one({"x": value})
            spent["bank"].append((between - began) / num)
            spent["river"].append((time.process_time() - between) / 20)
            assert scores[:20].tolist() == expected
        # River is cheap until its first window is full, the bank dear where it is: the later half of all steps counts.
        rates = {name: 1 / float(np.mean(seconds[260:])) for name, seconds in spent.items()}
        print(f"\nhalf-space trees, {num} series: bank {rates['bank']:,.0f}/s, River {rates['river']:,.0f}/s, ", end="")
        print(f"{rates['bank'] / rates['river']:.1f} times")


def test_a_bank_as_the_detector_of_one_entity() -> None:
    """Ten features a call, judged, then learnt: beside the classes that are made for one entity."""
    pairs: dict[str, MetricDetector] = {
        "RangeNovelty": RangeNovelty(), "Each(RangeBank)": Each(RangeBank()),
        "RobustZ": RobustZ(), "Each(Remembering(RobustBank))": Each(Remembering(RobustBank())),
    }  # fmt: skip
    draw = np.random.default_rng(1)
    many = [dict(zip("abcdefghij", values, strict=True)) for values in draw.normal(10, 2, (600, 10)).tolist()]
    for name, detector in pairs.items():
        for x in many:
            detector.learn_one(x)

        def work(detector: MetricDetector = detector) -> None:
            for x in many[:100]:
                detector.score_each(x)
                detector.learn_one(x)

        print(f"\n{name}: {1e6 * lowest(work) / 1000:.2f} us a value", end="")
    print()


def test_isolation_forest_beside_scikit_learn() -> None:
    """Vectors of ten features, one at a time and in micro-batches; the scores are the same."""
    draw = np.random.default_rng(1)
    kept = draw.normal(0, 1, (256, 10))
    low, span = kept.min(axis=0), np.ptp(kept, axis=0)
    forest = fit(kept, num_trees=100, sample=128, seed=1)
    rival = IsolationForest(n_estimators=100, max_samples=128, random_state=1)
    rival.fit(((kept - low) / span).astype(np.float32))
    for num in (1, 100, 10_000):
        vectors = draw.normal(0, 1, (num, 10))
        scaled = ((vectors - low) / span).astype(np.float32)
        assert forest.score(vectors) == pytest.approx(-rival.score_samples(scaled), abs=1e-12)
        rounds = 5 if num > 100 else ROUNDS
        ours = num / lowest(lambda vectors=vectors: forest.score(vectors), rounds)
        theirs = num / lowest(lambda scaled=scaled: rival.score_samples(scaled), rounds)
        print(f"\nforest, {num} at once: {ours:,.0f} vectors/s, scikit-learn {theirs:,.0f}", end="")
    print(f"; fit {lowest(lambda: fit(kept, num_trees=100, sample=128, seed=1), 5):.2f} s, {forest.num_bytes:,} bytes")
