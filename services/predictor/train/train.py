"""Trains the LSTM on generated load, with or without a recording mixed in, and writes its artifact."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from services.common.artifact import Artifact, fingerprint_files
from services.predictor.core.lookback import LOOKBACK_STEPS, NUM_BINS, NUM_CHANNELS
from services.predictor.core.targets import STEP_SECONDS, Floats, target_of
from services.predictor.model.lstm import Lstm
from services.predictor.model.network import LoadNetwork, NetworkConfig
from services.predictor.model.simple import Ewma, Persistence
from services.predictor.train.check import scaled_errors
from services.predictor.train.dataset import TRAIN_SHARE, Examples, make_examples
from services.predictor.train.export import export
from services.predictor.train.fit import Recipe, fit
from services.predictor.train.generate import generate_load

Say = Callable[[str], None]
#: The quantiles that the network learns; the median is what it says, the others make it see the spread.
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Generated series stand for no unit: about 1 in size.
GENERATED_RESOLUTION = 0.001


@dataclass(frozen=True)
class Plan:
    """How much is generated and how large the network is."""

    num_series: int = 24_000
    num_steps: int = 720
    examples_a_series: int = 8
    width: int = 48
    recipe: Recipe = field(default_factory=Recipe)


def train(
    folder: Path,
    horizons_seconds: Sequence[int],
    targets: Sequence[str],
    seed: int,
    command: str,
    say: Say,
    recorded: Mapping[str, Floats] | None = None,
    plan: Plan | None = None,
) -> Artifact:
    """Generates, splits by time, fits, checks, writes.

    Args:
        recorded: further series by `entity|target`, each (steps,), NaN where missing; those too short are left out.
    """
    plan = plan or Plan()
    began = time.monotonic()
    horizon_steps = np.array(horizons_seconds) // STEP_SECONDS
    series = generate_load(plan.num_series, plan.num_steps, seed)
    cut = int(plan.num_steps * TRAIN_SHARE)
    resolution = np.full(len(series), GENERATED_RESOLUTION)
    learn = make_examples(series, resolution, horizon_steps, 0, cut, plan.examples_a_series, seed + 1)
    check = make_examples(series, resolution, horizon_steps, cut, plan.num_steps, 2, seed + 2)
    if recorded:
        learn = _mix(learn, _recorded_examples(recorded, horizon_steps, seed + 3))
    say(f"{len(learn.inputs)} examples after {time.monotonic() - began:.0f} s")
    config = NetworkConfig(NUM_CHANNELS, NUM_BINS, plan.width, len(horizons_seconds), LEVELS)
    network = fit(config, learn, check, plan.recipe, seed, say)
    metrics = {
        "scaled_error_on_later_time": _figures(network, check, horizons_seconds),
        "examples": len(learn.inputs), "seconds": round(time.monotonic() - began),
    }  # fmt: skip
    data = {"source": _source(recorded), "seed": seed, "fingerprint": _fingerprint(series, recorded), "code": _code()}
    return export(folder, network, horizons_seconds, targets, metrics, data, command)


def _recorded_examples(recorded: Mapping[str, Floats], horizon_steps: np.ndarray, seed: int) -> Examples | None:
    """Of each series' first TRAIN_SHARE of time, about one example each two steps."""
    needed = LOOKBACK_STEPS + int(horizon_steps.max())
    parts = []
    for name, values in sorted(recorded.items()):
        cut = int(len(values) * TRAIN_SHARE)
        if cut > needed and np.isfinite(values).any():
            resolution = np.array([target_of(name.rpartition("|")[2]).resolution])
            num = (cut - needed) // 2 + 1
            parts.append(make_examples(values[None], resolution, horizon_steps, 0, cut, num, seed))
    return None if not parts else _join(parts)


def _mix(learn: Examples, more: Examples | None) -> Examples:
    return learn if more is None else _join([learn, more])


def _join(parts: Sequence[Examples]) -> Examples:
    look = parts[0].look
    together = type(look)(*(np.concatenate([getattr(p.look, name) for p in parts]) for name in look.__slots__))
    joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in Examples._fields if name != "look"}
    return Examples(look=together, **joined)


class _InMemory:
    """The fitted network, before it is an artifact."""

    def __init__(self, network: LoadNetwork) -> None:
        self._network = network

    def run(self, inputs: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return np.asarray(self._network(torch.from_numpy(inputs)).numpy())


def _figures(network: LoadNetwork, check: Examples, horizons_seconds: Sequence[int]) -> dict[str, Any]:
    horizons = tuple(horizons_seconds)
    lstm = Lstm(_InMemory(network), "", ["load"], len(horizons), LEVELS.index(0.5))
    return scaled_errors([Persistence(horizons), Ewma(horizons), lstm], check, "load", horizons)


def _source(recorded: Mapping[str, Floats] | None) -> str:
    return "generated load" + (f" and {len(recorded)} recorded series" if recorded else "")


def _fingerprint(series: Floats, recorded: Mapping[str, Floats] | None) -> str:
    whole = hashlib.sha256(np.ascontiguousarray(np.nan_to_num(series, nan=-1.0)).round(9).tobytes())
    for name, values in sorted((recorded or {}).items()):
        whole.update(name.encode() + np.nan_to_num(values, nan=-1.0).round(9).tobytes())
    return whole.hexdigest()[:16]


def _code() -> str:
    """Fingerprint of what the artifact was made by."""
    here = Path(__file__).parents[1]
    files = ["core/lookback.py", "model/network.py", "train/generate.py", "train/dataset.py", "train/fit.py"]
    return fingerprint_files({name: here / name for name in files})
