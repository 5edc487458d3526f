"""Detectors of single series as columns: many series judged and taught in one call, each by itself."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from services.anomaly.model.abstract import LARGEST

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
#: Microseconds of event time.
Micros = npt.NDArray[np.int64]
#: One row a series, of a structured dtype: all that a bank knows of it.
Rows = npt.NDArray[np.void]


class Bands(NamedTuple):
    """What is expected of each series, (n,) each; NaN while too little was learnt. `center` is usual."""

    low: Floats
    center: Floats
    high: Floats


class Bank(Protocol):
    """A detector without state of its own: what it knows of a series is one row of `dtype`.

    Values are finite and within +-LARGEST (`clean`); times ascend within a series. A series is judged as if it were
    alone: whatever stands in the other rows of a call, and however many those are, its scores are the same bits.
    """

    name: str
    #: Declares every field; a zeroed row means "nothing learnt". `dtype.itemsize` bytes are what a series costs.
    dtype: np.dtype[Any]

    def score(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        """(n,) in [0, 1]: 0.5 at the bank's line, 0.0 while too little was learnt. Changes nothing."""
        ...

    def bands(self, rows: Rows, times: Micros) -> Bands:
        """What is expected at these times, for a bank that may vote. Changes nothing."""
        ...

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        """Takes each value in as normal, in place. A series stands at most once in a call."""
        ...


class InPlaceBank(Bank, Protocol):
    """A bank that works on the rows `at` of a table where they are, each at most once in a call."""

    def bands_at(self, rows: Rows, at: Ints, times: Micros) -> Bands:
        """The same as `bands(rows[at], times)`."""
        ...

    def learn_at(self, rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
        """Lets these rows learn."""
        ...


def bands_at(bank: Bank, rows: Rows, at: Ints, times: Micros) -> Bands:
    """What any bank expects of the rows `at`."""
    if hasattr(bank, "bands_at"):
        return cast(InPlaceBank, bank).bands_at(rows, at, times)
    return bank.bands(rows[at], times)


def learn_at(bank: Bank, rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
    """Lets any bank teach the rows `at`, where they are."""
    if hasattr(bank, "learn_at"):
        cast(InPlaceBank, bank).learn_at(rows, at, values, times)
        return
    learnt = rows[at]
    bank.learn(learnt, values, times)
    rows[at] = learnt


def parts_of(bank: Bank) -> Mapping[str, tuple[str, ...]]:
    """Fields of a row that change at one pace, by a name for them: what is worth saving apart from the rest.

    A bank says so by an attribute `parts`; of one that does not, all fields are one part.
    """
    parts: Mapping[str, tuple[str, ...]] = getattr(bank, "parts", {"row": bank.dtype.names or ()})
    return parts


def clean(values: Floats) -> Floats:
    """The values held within +-LARGEST; NaN, to be left out by the caller, for those that are not finite."""
    held = np.asarray(values, np.float64)
    held = np.where(np.isinf(held), np.nan, held)
    return np.clip(held, -LARGEST, LARGEST)


def within_bounds(values: Floats) -> Floats:
    """Finite values held within +-LARGEST."""
    return np.asarray(np.minimum(np.maximum(values, -LARGEST), LARGEST))


def ratio_scores(distances: Floats, lines: Floats) -> Floats:
    """`ratio_score` of each: 0 where there is no distance, 0.5 at the line, towards 1 far beyond it."""
    is_beyond = distances > 0
    return np.divide(distances, distances + lines, out=np.zeros(distances.shape), where=is_beyond)
