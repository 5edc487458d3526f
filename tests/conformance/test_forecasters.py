"""What every forecaster promises: services/predictor/model/abstract.py."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.predictor.core.lookback import LOOKBACK_STEPS, MIN_STEPS, Lookback, clean
from services.predictor.core.targets import Floats
from services.predictor.model.abstract import Forecaster
from services.predictor.model.forecasters import make_forecasters
from services.predictor.settings import HORIZONS_SECONDS, TARGETS

FORECASTERS = {forecaster.name: forecaster for forecaster in make_forecasters("", HORIZONS_SECONDS, TARGETS)}
TARGET = "cpu_cores"
values = st.floats(0, 1e12) | st.just(float("nan")) | st.floats(0, 1e-3)
histories = st.lists(values, min_size=1, max_size=LOOKBACK_STEPS)


@pytest.fixture(params=FORECASTERS)
def forecaster(request: pytest.FixtureRequest) -> Forecaster:
    """Each forecaster in turn."""
    return FORECASTERS[request.param]


def look_at(*series: list[float]) -> Lookback:
    """Lookbacks that end with these values."""
    padded = [[float("nan")] * (LOOKBACK_STEPS - len(values)) + list(values) for values in series]
    return clean(np.array(padded), np.full(len(series), 0.01))


def ask(forecaster: Forecaster, look: Lookback) -> Floats:
    """What it says of series of one target."""
    return forecaster.forecast(look, [TARGET] * len(look))


def noisy(length: int = LOOKBACK_STEPS, seed: int = 1) -> list[float]:
    """A load with a rhythm."""
    dice = np.random.default_rng(seed)
    return list(2 + np.sin(np.arange(length) / 6) + dice.normal(0, 0.2, length))


@given(history=histories)
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("name", FORECASTERS)
def test_says_finite_values_never_negative_or_nothing(name: str, history: list[float]) -> None:
    """Whatever is known of a series, each horizon has a finite value of at least zero, or none has any."""
    look = look_at(history)
    said = ask(FORECASTERS[name], look)
    assert said.shape == (1, len(HORIZONS_SECONDS))
    assert np.isfinite(said).all() or np.isnan(said).all()
    assert not (said < 0).any()
    assert np.isfinite(look.last[0]) or np.isnan(said).all()


@given(value=st.floats(0, 1e12), length=st.integers(MIN_STEPS, LOOKBACK_STEPS))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("name", FORECASTERS)
def test_constant_series_goes_on_as_it_is(name: str, value: float, length: int) -> None:
    """What never moved does not move."""
    said = ask(FORECASTERS[name], look_at([value] * length))[0]
    assert np.isnan(said).all() or said == pytest.approx([value] * len(said), rel=1e-9)


@pytest.mark.parametrize("times", [1e-3, 1.0, 1e9])
def test_size_of_a_series_means_nothing(forecaster: Forecaster, times: float) -> None:
    """A series in other units gets the same forecast in those units."""
    plain = ask(forecaster, look_at([v * 1000 for v in noisy()]))[0]
    larger = ask(forecaster, look_at([v * 1000 * times for v in noisy()]))[0]
    assert larger == pytest.approx(plain * times, rel=1e-5)


def test_forecast_does_not_depend_on_who_is_asked_along(forecaster: Forecaster) -> None:
    """Alone, first, last or among a hundred: the same to the last bit."""
    series = [noisy(seed=seed) for seed in range(100)]
    together = ask(forecaster, look_at(*series))
    for index in (0, 50, 99):
        assert (ask(forecaster, look_at(series[index]))[0] == together[index]).all()


def test_asking_changes_nothing(forecaster: Forecaster) -> None:
    """The lookback is left as it is, and the same question gets the same answer."""
    look = look_at(noisy(), noisy(20))
    before = copy.deepcopy(look)
    first, second = ask(forecaster, look), ask(forecaster, look)
    assert np.array_equal(first, second, equal_nan=True)
    assert np.array_equal(look.steps, before.steps, equal_nan=True)
    assert np.array_equal(look.last, before.last, equal_nan=True)


def test_loaded_again_says_the_same(forecaster: Forecaster) -> None:
    """The same artifact makes the same forecaster."""
    again = {f.name: f for f in make_forecasters("", HORIZONS_SECONDS, TARGETS)}[forecaster.name]
    look = look_at(noisy(), noisy(40))
    assert again.version == forecaster.version
    assert np.array_equal(ask(again, look), ask(forecaster, look), equal_nan=True)


def test_speaks_with_a_full_lookback(forecaster: Forecaster) -> None:
    """A quarter of an hour is enough for everybody."""
    assert np.isfinite(ask(forecaster, look_at(noisy()))).all()


@pytest.mark.parametrize(
    ("name", "shape", "rivals"),
    [
        ("trend", lambda n: 1 + 0.05 * n, ("persistence", "ewma")),
        ("ewma", lambda n: 2.0 + (n % 5 == 4), ("persistence",)),
        ("lstm", lambda n: 2 + np.sin(n / 6), ("persistence", "ewma", "trend")),
    ],
)
def test_each_is_best_at_what_it_is_for(name: str, shape: Callable[[Floats], Floats], rivals: tuple[str, ...]) -> None:
    """A slope is the trend's, single spikes the EWMA's, a rhythm the network's."""
    at = np.arange(LOOKBACK_STEPS + 90, dtype=float)
    course = np.asarray(shape(at))
    came = course[LOOKBACK_STEPS - 1 + np.array(HORIZONS_SECONDS) // 10]
    look = look_at(list(course[:LOOKBACK_STEPS]))
    error = {f: float(np.abs(ask(FORECASTERS[f], look)[0] - came).mean()) for f in (name, *rivals)}
    assert all(error[name] < error[rival] for rival in rivals)
