"""MiniLM as a sentence encoder (Wang et al., arXiv:2002.10957; Reimers and Gurevych, arXiv:1908.10084).

Six BERT layers, then the mean over the tokens that are not padding, of length 1: 22.4 M parameters. Padding
is left out of the attention by taking its share away afterwards, not by a large negative number before: both
are the same function, and this one has no values that would stretch an integer's range.
"""

from __future__ import annotations

import torch
from torch import nn

TOKENS, WORDS = 64, 30522
_WIDTH, _HEADS, _INNER, _LAYERS, _EPSILON = 384, 12, 1536, 6, 1e-12


class Layer(nn.Module):  # type: ignore[misc]
    """BERT's: attention and a feed-forward net, each added to what it was given and normalized."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(_WIDTH, _WIDTH)
        self.key = nn.Linear(_WIDTH, _WIDTH)
        self.value = nn.Linear(_WIDTH, _WIDTH)
        self.mix = nn.Linear(_WIDTH, _WIDTH)
        self.norm_attention = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.grow = nn.Linear(_WIDTH, _INNER)
        self.shrink = nn.Linear(_INNER, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.gelu = nn.GELU()

    def forward(self, x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Of x (batch, tokens, width); `there` (batch, 1, 1, tokens) is 0 where padding is, 1 elsewhere."""
        query, key, value = (self._heads(each(x)) for each in (self.query, self.key, self.value))
        scores = torch.matmul(query, key.transpose(2, 3)) * (_WIDTH // _HEADS) ** -0.5
        shares = torch.softmax(scores, dim=3) * there
        shares = shares / shares.sum(dim=3, keepdim=True)
        mixed = torch.matmul(shares, value).transpose(1, 2).reshape(-1, TOKENS, _WIDTH)
        x = self.norm_attention(x + self.mix(mixed))
        grown: torch.Tensor = self.norm(x + self.shrink(self.gelu(self.grow(x))))
        return grown

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1, TOKENS, _HEADS, _WIDTH // _HEADS).transpose(1, 2)


class SentenceEncoder(nn.Module):  # type: ignore[misc]
    """Token ids and mask, (batch, 64) int32 -> (batch, 384), each of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, _WIDTH)
        self.places = nn.Parameter(torch.zeros(TOKENS, _WIDTH))
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.layers = nn.ModuleList([Layer() for _ in range(_LAYERS)])

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mask = mask.to(torch.float32)
        x = self.norm(self.words(ids) + self.places)
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        mean = (x * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return mean / (mean * mean).sum(dim=1, keepdim=True).sqrt()


def net() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The untrained module in evaluation mode, and example inputs."""
    ids = torch.zeros(1, TOKENS, dtype=torch.int32)
    return SentenceEncoder().eval(), (ids, torch.ones_like(ids))
