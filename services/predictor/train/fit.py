"""Fits the LSTM: AdamW with one cycle of the learning rate, pinball loss, one thread, the same weights each time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from services.predictor.model.network import LoadNetwork, NetworkConfig, pinball_loss
from services.predictor.train.dataset import Examples

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to learn."""

    num_epochs: int = 14
    batch: int = 256
    peak_rate: float = 3e-3


def fit(config: NetworkConfig, examples: Examples, check: Examples, recipe: Recipe, seed: int, say: Say) -> LoadNetwork:
    """A network fitted to `examples`; its loss on `check` is told after each epoch."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = LoadNetwork(config)
    levels = torch.tensor(config.levels)
    inputs, came = torch.from_numpy(examples.inputs), torch.from_numpy(examples.came)
    num_batches = len(inputs) // recipe.batch
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.peak_rate, total_steps=recipe.num_epochs * num_batches
    )
    order = torch.Generator().manual_seed(seed)
    began = time.monotonic()
    for epoch in range(recipe.num_epochs):
        network.train()
        for rows in torch.randperm(len(inputs), generator=order)[: num_batches * recipe.batch].split(recipe.batch):
            optimizer.zero_grad()
            loss = known_loss(network(inputs[rows]), came[rows], levels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        say(f"epoch {epoch + 1}: loss {loss_on(network, check):.4f} after {time.monotonic() - began:.0f} s")
    network.eval()
    return network


def known_loss(said: torch.Tensor, came: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """The pinball loss where something came."""
    known = torch.isfinite(came)
    middle = said[..., levels.tolist().index(0.5)].detach()
    return pinball_loss(said, torch.where(known, came, middle), levels)


def loss_on(network: LoadNetwork, examples: Examples) -> float:
    """The mean loss over examples that were not learnt from."""
    network.eval()
    levels = torch.tensor(network.config.levels)
    with torch.no_grad():
        parts = [
            float(known_loss(network(torch.from_numpy(inputs)), torch.from_numpy(came), levels))
            for inputs, came in zip(_split(examples.inputs), _split(examples.came), strict=True)
        ]
    return float(np.mean(parts))


def _split(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, max(1, len(rows) // 1024))
