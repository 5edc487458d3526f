"""The network: BERT over template texts, which guesses hidden words. Needs torch; serving on a CPU never imports it.

B rows, T positions, F features of a text, D width, V words of the vocabulary.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network; stored in the artifact's settings."""

    length: int
    num_features: int
    width: int = 64
    num_layers: int = 2
    num_heads: int = 4

    def to_settings(self) -> dict[str, int]:
        """As JSON."""
        return asdict(self)


class LogBertNetwork(nn.Module):
    """Masked template prediction. A hidden word is guessed by comparing what BERT makes of its place with all texts.

    Args:
        vocabulary: (V, F) the words' text vectors. They are no weights: a text means the same wherever it comes from.

    Source:
        Guo, Yuan, Wu. LogBERT: Log Anomaly Detection via BERT. IJCNN 2021; with texts instead of ids.
    """

    def __init__(self, config: NetworkConfig, vocabulary: Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("vocabulary", vocabulary)  # (V, F)
        self.read = nn.Linear(config.num_features, config.width)
        self.hidden_word = nn.Parameter(torch.zeros(config.width))
        self.bert = BertModel(_bert_config(config), add_pooling_layer=False)
        self.guess = nn.Sequential(nn.Linear(config.width, config.width), nn.GELU(), nn.LayerNorm(config.width))
        self.compare = nn.Linear(config.num_features, config.width, bias=False)
        self.frequency = nn.Parameter(torch.zeros(vocabulary.shape[0]))
        self._spread()

    def _spread(self) -> None:
        """Begins with texts and places of equal weight, and with places as waves.

        With BERT's own small random start it stays on guessing by frequency for most of a short training: .78 of
        held-back words right after 800 steps, against .89 after 1500 from here (docs/benchmarks/logbert.md).
        """
        config = self.config
        nn.init.normal_(self.read.weight)
        nn.init.normal_(self.compare.weight)
        nn.init.normal_(self.hidden_word)
        with torch.no_grad():
            self.bert.embeddings.position_embeddings.weight.copy_(_waves(config.length, config.width))

    def forward(self, vectors: Tensor, hidden: Tensor, present: Tensor) -> Tensor:
        """See services/logbert/model/scorer.py, Runtime.log_probabilities."""
        words = self.read(vectors)  # (B, T, D)
        is_hidden = hidden.unsqueeze(-1)  # (B, T, 1)
        words = words * (1.0 - is_hidden) + self.hidden_word * is_hidden  # (B, T, D)
        states = self.bert(inputs_embeds=words, attention_mask=present).last_hidden_state  # (B, T, D)
        texts: Any = self.compare(self.vocabulary)  # (V, D)
        logits = self.guess(states) @ texts.T + self.frequency  # (B, T, V)
        return torch.log_softmax(logits, dim=-1)


def _waves(length: int, width: int) -> Tensor:
    """(T, D) sines and cosines of the place; Vaswani et al., Attention Is All You Need, for short windows."""
    speeds = torch.exp(torch.arange(0, width, 2) * (-math.log(100.0) / width))  # (D / 2,)
    angles = torch.arange(length)[:, None] * speeds  # (T, D / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(length, width)


def _bert_config(config: NetworkConfig) -> BertConfig:
    return BertConfig(
        vocab_size=1,  # words come as vectors
        hidden_size=config.width,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=4 * config.width,
        max_position_embeddings=config.length,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,  # too small to remember what it saw; dropout only slowed it
        attention_probs_dropout_prob=0.0,
        initializer_range=0.05,
        attn_implementation="eager",
    )
