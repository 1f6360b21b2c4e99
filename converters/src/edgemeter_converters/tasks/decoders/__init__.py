"""Detectors' heads, one file each."""

from __future__ import annotations

from types import MappingProxyType

from edgemeter_converters.tasks.decoders import centernet, decoded, grid, ssd
from edgemeter_converters.tasks.decoders.decoder import LEAST_SCORE, MAX_BOXES, Decoder, Head, Settings

__all__ = ["HEADS", "LEAST_SCORE", "MAX_BOXES", "Decoder", "Head", "Settings"]

HEADS: MappingProxyType[str, Head] = MappingProxyType(
    {each.name: each for each in (ssd.HEAD, centernet.HEAD, grid.HEAD, decoded.HEAD)}
)
