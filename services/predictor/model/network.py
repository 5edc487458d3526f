"""The LSTM, read top to bottom. Needs torch: training, and serving on a GPU.

Letters: N series, B bins of the lookback, C channels, D width, H horizons, Q quantiles.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network.

    Attributes:
        num_channels, num_bins: of the inputs, see core/lookback.py.
        width: of the LSTM's state.
        num_horizons: how many times ahead are said at once.
        levels: the quantiles that are said, ascending, with .5 among them.
    """

    num_channels: int
    num_bins: int
    width: int
    num_horizons: int
    levels: tuple[float, ...]


class LoadNetwork(nn.Module):
    """Says how a series changes, in units of its own spread in log space.

    The first output is the median's change; others lie apart from it by amounts that are never negative, so that
    quantiles never cross.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.middle = config.levels.index(0.5)
        self.lstm = nn.LSTM(config.num_channels, config.width, batch_first=True)
        self.hidden = nn.Linear(config.width + config.num_channels * config.num_bins, 2 * config.width)
        self.head = nn.Linear(2 * config.width, config.num_horizons * len(config.levels))

    def forward(self, inputs_NBC: Tensor) -> Tensor:
        """(N, B, C) to (N, H, Q), ascending in the last."""
        states_NBD, _ = self.lstm(inputs_NBC)
        last_ND = states_NBD[:, -1]
        seen = torch.cat([last_ND, inputs_NBC.flatten(1)], dim=1)  # (N, D + B * C)
        hidden = nn.functional.gelu(self.hidden(seen))  # (N, 2 D)
        raw = self.head(hidden).reshape(-1, self.config.num_horizons, len(self.config.levels))  # (N, H, Q)
        middle = raw[..., self.middle : self.middle + 1]  # (N, H, 1)
        apart = nn.functional.softplus(raw)
        below = apart[..., : self.middle].flip(-1).cumsum(-1).flip(-1)  # (N, H, middle)
        above = apart[..., self.middle + 1 :].cumsum(-1)
        return torch.cat([middle - below, middle, middle + above], dim=-1)  # (N, H, Q)


def pinball_loss(said_NHQ: Tensor, came_NH: Tensor, levels: Tensor) -> Tensor:
    """Mean quantile loss; at level .5 half the absolute error.

    Source: Koenker, Bassett. Regression Quantiles. Econometrica 1978.
    """
    error = came_NH[..., None] - said_NHQ  # (N, H, Q)
    return torch.maximum(levels * error, (levels - 1) * error).mean()
