"""Made-up load: rhythms of minutes to a day, noise with memory, steps, bursts, ramps and heavy tails.

Nothing in it is taken from a recording, so a network that learns from it may be shipped.
"""

from typing import NamedTuple

import numpy as np

from services.predictor.core.targets import Floats

#: Rhythms, in steps of ten seconds: from two minutes to an hour; a day shows as a slow slope.
SHORTEST_PERIOD, LONGEST_PERIOD = 12, 360
STEPS_A_DAY = 8640


class Shape(NamedTuple):
    """How likely each ingredient is in a series."""

    rhythm: float = 0.55
    burst: float = 0.3
    step: float = 0.35
    ramp: float = 0.25
    flat: float = 0.06
    empty: float = 0.04
    holes: float = 0.25


def generate_load(num_series: int, num_steps: int, seed: int, shape: Shape | None = None) -> Floats:
    """(num_series, num_steps) loads, never negative, about 1 in size; NaN where a step is missing."""
    dice = np.random.default_rng(seed)
    shape = shape or Shape()
    return np.stack([_one(dice, num_steps, shape) for _ in range(num_series)])


def _one(dice: np.random.Generator, num_steps: int, shape: Shape) -> Floats:
    if dice.random() < shape.flat:
        return _with_holes(dice, np.full(num_steps, dice.random()), shape)
    logs = _slow(dice, num_steps) + _noise(dice, num_steps)
    if dice.random() < shape.rhythm:
        logs += _rhythms(dice, num_steps)
    if dice.random() < shape.step:
        logs += _steps(dice, num_steps)
    if dice.random() < shape.ramp:
        logs += _ramps(dice, num_steps)
    values = np.exp(np.clip(logs, -12, 6))
    if dice.random() < 0.5:  # a floor under the load: memory, idle work
        values += dice.exponential(4.0)
    if dice.random() < shape.burst:
        values += _bursts(dice, num_steps)
    if dice.random() < shape.empty:  # seldom anything at all: errors, disks of idle hosts
        values *= dice.random(num_steps) < dice.uniform(0.02, 0.4)
    if dice.random() < 0.2:  # few possible values: counted things over ten seconds
        quantum = np.median(values) / dice.integers(2, 20) + 1e-9
        values = np.round(values / quantum) * quantum
    return _with_holes(dice, values, shape)


def _slow(dice: np.random.Generator, num_steps: int) -> Floats:
    """A day's course, and a walk that never settles."""
    at = dice.random() * STEPS_A_DAY + np.arange(num_steps)
    day = dice.exponential(0.3) * np.sin(2 * np.pi * at / STEPS_A_DAY)
    walk = np.cumsum(dice.normal(size=num_steps)) * dice.exponential(0.004)
    return np.asarray(day + walk * (dice.random() < 0.5))


def _noise(dice: np.random.Generator, num_steps: int) -> Floats:
    """Autoregressive noise, its shocks normal or with heavy tails, plus some without memory."""
    memory = dice.choice([0.0, 0.5, 0.8, 0.95, 0.99]) * dice.uniform(0.9, 1.0)
    heavy = dice.random() < 0.3
    shocks = dice.standard_t(2.5, num_steps) if heavy else dice.normal(size=num_steps)
    size = 10 ** dice.uniform(-3.5, -0.2)
    out, held = np.empty(num_steps), 0.0
    for index, shock in enumerate(np.clip(shocks, -12, 12)):
        held = memory * held + shock
        out[index] = held
    plain = dice.normal(size=num_steps) * size * dice.choice([0.0, 0.3, 1.0])
    return np.asarray(out * size * np.sqrt(1 - memory**2) + plain)


def _rhythms(dice: np.random.Generator, num_steps: int) -> Floats:
    """One or two rhythms: sines, saws, squares or jobs that run for a part of each period."""
    total = np.zeros(num_steps)
    for _ in range(dice.integers(1, 3)):
        period = np.exp(dice.uniform(np.log(SHORTEST_PERIOD), np.log(LONGEST_PERIOD)))
        phase = (np.arange(num_steps) / period + dice.random()) % 1.0
        form = dice.integers(0, 10)
        if form < 6:
            wave = np.sin(2 * np.pi * phase)
        elif form < 7:
            wave = 2 * phase - 1
        else:
            wave = np.where(phase < dice.uniform(0.05, 0.6), 1.0, -1.0)
        total += wave * 10 ** dice.uniform(-1.5, 0.0)
    return total


def _steps(dice: np.random.Generator, num_steps: int) -> Floats:
    """Levels that change at once: a deployment, a tenant more."""
    jumps = np.zeros(num_steps)
    for place in dice.integers(0, num_steps, dice.integers(1, 4)):
        jumps[place] += dice.normal() * dice.choice([0.1, 0.4, 1.0])
    return np.asarray(np.cumsum(jumps))


def _ramps(dice: np.random.Generator, num_steps: int) -> Floats:
    """Slopes of some minutes to the whole: leaks, queues that fill."""
    slope = np.zeros(num_steps)
    for _ in range(dice.integers(1, 3)):
        begin = dice.integers(0, num_steps)
        length = dice.integers(30, num_steps)
        slope[begin : begin + length] += dice.normal() * 10 ** dice.uniform(-3.5, -2.0)
    return np.asarray(np.cumsum(slope))


def _bursts(dice: np.random.Generator, num_steps: int) -> Floats:
    """Short work with heavy tails in size."""
    out = np.zeros(num_steps)
    for place in np.flatnonzero(dice.random(num_steps) < 10 ** dice.uniform(-3, -1.2)):
        length = 1 + dice.geometric(0.3)
        out[place : place + length] += min(dice.pareto(1.5), 30.0)
    return out


def _with_holes(dice: np.random.Generator, values: Floats, shape: Shape) -> Floats:
    if dice.random() < shape.holes:
        values = np.where(dice.random(len(values)) < dice.uniform(0.005, 0.1), np.nan, values)
    return values
