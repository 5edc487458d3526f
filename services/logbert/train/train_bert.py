"""Trains BERT on the normal part of a recording. Needs torch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from services.logbert.core.sequences import Shape, complementary_masks
from services.logbert.core.words import NUM_FEATURES, Word
from services.logbert.model.network import LogBertNetwork, NetworkConfig
from services.logbert.model.vocabulary import Vocabulary

Window = tuple[Word, ...]


@dataclass(frozen=True)
class TrainSettings:
    """How long and how fast. What ships was trained with these."""

    seed: int = 1
    num_steps: int = 2500
    batch_windows: int = 64
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    stride: int = 3
    width: int = 64
    num_layers: int = 2
    num_heads: int = 4


@dataclass(frozen=True)
class Trained:
    """The network and how it went: the mean loss of every hundredth part of the steps, in nats."""

    network: LogBertNetwork
    losses: list[float]
    seconds: float


class Batches:
    """Draws windows, cuts some short and hides some words; the generator's seed decides everything."""

    def __init__(self, windows: Sequence[Window], vocabulary: Vocabulary, shape: Shape, seed: int) -> None:
        self._shape = shape
        self._random = np.random.default_rng(seed)
        self._masks = complementary_masks(shape.length, shape.num_masks)  # (K, T)
        self._words = np.full((len(windows), shape.length), -1, dtype=np.int64)  # (N, T), -1 where there is none
        for row, window in enumerate(windows):
            self._words[row, : len(window)] = [word if isinstance(word, int) else -1 for word in window]
        self._vectors = np.stack([vocabulary.vector(number) for number in range(len(vocabulary))])  # (V, F)

    def draw(self, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """vectors (B, T, F), hidden (B, T), present (B, T), words (B, T) with -1 where there is none."""
        words = self._words[self._random.integers(len(self._words), size=size)]  # (B, T)
        is_short = self._random.random(size) < 0.3
        lengths = np.where(is_short, self._random.integers(1, self._shape.length, size=size), self._shape.length)
        words = np.where(np.arange(self._shape.length)[None] < lengths[:, None], words, -1)
        present = words >= 0
        hidden = self._masks[self._random.integers(self._shape.num_masks, size=size)] & present
        vectors = np.where(present[..., None], self._vectors[words], 0.0).astype(np.float32)
        return (
            torch.from_numpy(vectors), torch.from_numpy(hidden.astype(np.float32)),
            torch.from_numpy(present.astype(np.float32)), torch.from_numpy(words),
        )  # fmt: skip


def train(windows: Sequence[Window], vocabulary: Vocabulary, shape: Shape, settings: TrainSettings) -> Trained:
    """Masked template prediction with the masks that scoring uses. One thread, so that a seed gives one result."""
    began = time.perf_counter()
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    torch.use_deterministic_algorithms(True)
    config = NetworkConfig(shape.length, NUM_FEATURES, settings.width, settings.num_layers, settings.num_heads)
    texts = np.stack([vocabulary.vector(number) for number in range(len(vocabulary))])
    network = LogBertNetwork(config, torch.from_numpy(texts))
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
    batches = Batches(windows, vocabulary, shape, settings.seed)
    network.train()
    losses = [_step(network, optimizer, schedule, batches, settings) for _ in range(settings.num_steps)]
    return Trained(network.eval(), _curve(losses), time.perf_counter() - began)


def _rate(step: int, settings: TrainSettings) -> float:
    """Up in a line, down in a line: a part of the learning rate."""
    rest = max(1, settings.num_steps - settings.warmup_steps)
    return min((step + 1) / settings.warmup_steps, max(0.0, (settings.num_steps - step) / rest))


def _step(
    network: LogBertNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    batches: Batches,
    settings: TrainSettings,
) -> float:
    vectors, hidden, present, words = batches.draw(settings.batch_windows)
    guessed = network(vectors, hidden, present)  # (B, T, V)
    chosen = hidden.bool()
    loss = torch.nn.functional.nll_loss(guessed[chosen], words[chosen])
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    return float(loss.detach())


def _curve(losses: Sequence[float], points: int = 20) -> list[float]:
    """The losses' course in a few numbers."""
    return [round(float(np.mean(part)), 4) for part in np.array_split(np.asarray(losses), min(points, len(losses)))]
