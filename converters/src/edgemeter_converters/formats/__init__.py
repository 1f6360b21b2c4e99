"""The formats that variants are written in, one file each. A new one is a file and a line in `FORMATS`."""

from __future__ import annotations

from types import MappingProxyType

from edgemeter_converters.formats.format import Artifact, Encoding, Format
from edgemeter_converters.formats.tflite import TFLite

__all__ = ["FORMATS", "Artifact", "Encoding", "Format"]

FORMATS: MappingProxyType[str, Format] = MappingProxyType({each.name: each for each in (TFLite(),)})
