"""Streams in which nothing drifts, and ones in which something does; (time, series) values a minute apart."""

from collections.abc import Callable

import numpy as np

from services.anomaly.model.bank import Floats

DAY_POINTS = 1440
Draw = np.random.Generator


def remembering(noise: Floats, phi: float) -> Floats:
    """Autoregressive of first order, driven by `noise`."""
    values = np.zeros_like(noise)
    values[0] = noise[0]
    for at in range(1, len(noise)):
        values[at] = phi * values[at - 1] + noise[at]
    return values


def wave(draw: Draw, num: int, series: int) -> Floats:
    """A day's course of amplitude 3 with a second wave of half that, each series at a time of its own."""
    phase = draw.uniform(0, 2 * np.pi, series)
    day = 2 * np.pi * np.arange(num)[:, None] / DAY_POINTS
    return np.asarray(3 * np.sin(day + phase) + 1.5 * np.sin(2 * day + 2 * phase), dtype=np.float64)


def nightly(draw: Draw, num: int, series: int) -> Floats:
    """A job of twenty minutes each day, ten times as high as the noise."""
    minute = (np.arange(num)[:, None] + draw.integers(0, DAY_POINTS, series)) % DAY_POINTS
    return draw.standard_normal((num, series)) + 10.0 * (minute < 20)


def scattering(draw: Draw, num: int, series: int) -> Floats:
    """Noise whose size comes and goes over some twenty minutes."""
    size = 0.3 * remembering(draw.standard_normal((num, series)), 0.95)
    return np.asarray(draw.standard_normal((num, series)) * np.exp(size / 2), dtype=np.float64)


Make = Callable[[Draw, int, int], Floats]
CLEAN: dict[str, Make] = {
    "white noise": lambda draw, n, s: draw.standard_normal((n, s)),
    "AR(1) .9": lambda draw, n, s: remembering(draw.standard_normal((n, s)), 0.9),
    "AR(1) .99": lambda draw, n, s: remembering(draw.standard_normal((n, s)), 0.99),
    "daily wave, white noise": lambda draw, n, s: wave(draw, n, s) + draw.standard_normal((n, s)),
    "daily wave, AR(1) .9": lambda draw, n, s: 2 * wave(draw, n, s) + remembering(draw.standard_normal((n, s)), 0.9),
    "nightly job": nightly,
    "daily counts (Poisson)": lambda draw, n, s: draw.poisson(np.exp(1 + wave(draw, n, s) / 4)).astype(np.float64),
    "rare counts (Poisson .02)": lambda draw, n, s: draw.poisson(0.02, (n, s)).astype(np.float64),
    "Student t, 2 degrees": lambda draw, n, s: draw.standard_t(2, (n, s)),
    "AR(1) .9 of Student t, 2 degrees": lambda draw, n, s: remembering(draw.standard_t(2, (n, s)), 0.9),
    "log-normal, sigma 1.5": lambda draw, n, s: np.exp(1.5 * draw.standard_normal((n, s))),
    "Pareto 1.5": lambda draw, n, s: draw.pareto(1.5, (n, s)),
    "Cauchy": lambda draw, n, s: draw.standard_cauchy((n, s)),
    "scatter that comes and goes": scattering,
    "random walk (not stationary)": lambda draw, n, s: np.cumsum(draw.standard_normal((n, s)), axis=0),
}
#: Streams in which shifts are planted, with their standard deviation (of Student t: its quartile range).
SHIFTED = {"AR(1) .9": 2.294, "daily wave, white noise": 1.0, "Student t, 2 degrees": 1.6}


def shifted(kind: str, values: Floats, at: int, deviation: float) -> Floats:
    """The stream with a change for good from `at` on: `mean x`, `scatter x` or `slope` in its deviations."""
    changed = values.copy()
    word, _, size = kind.partition(" ")
    if word == "mean":
        changed[at:] += float(size) * deviation
    elif word == "scatter":
        usual = np.median(values[:at], axis=0)
        changed[at:] = usual + float(size) * (values[at:] - usual)
    else:
        changed[at:] += deviation * np.arange(len(values) - at)[:, None] * float(size) / DAY_POINTS
    return changed
