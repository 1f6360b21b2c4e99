"""What a step is."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgemeter_converters.steps.parameter import Parameter


class Precision(enum.Enum):
    """The numbers that a model is encoded with, as weights and as activations."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    """float16 weights, float32 arithmetic unless the runtime has better."""
    DYNAMIC_INT8 = "dynamic"
    """int8 weights; activations are quantized while the model runs."""
    INT8 = "int8"
    """int8 weights, a scale for each channel; int8 activations, inputs and outputs."""
    INT16X8 = "int16x8"
    """int8 weights; int16 activations, inputs and outputs."""
    WEIGHT_ONLY_INT8 = "weight-only-int8"
    """int8 weights, which are made float again before each use; float32 arithmetic."""
    WEIGHT_ONLY_INT4 = "weight-only-int4"
    """int4 weights, which are made float again before each use; float32 arithmetic."""
    W4A8 = "w4a8"
    """int4 weights; activations are quantized to int8 while the model runs."""
    Q8_0 = "q8_0"
    """llama.cpp's: int8 weights, a float16 scale for each 32."""
    Q4_K_M = "q4_k_m"
    """llama.cpp's: blocks of 256 weights of 4 bits, of 6 where it matters more."""
    Q4_0 = "q4_0"
    """llama.cpp's: int4 weights, a float16 scale for each 32."""
    IQ4_NL = "iq4_nl"
    """llama.cpp's: 4-bit weights on a scale of uneven steps, a float16 scale for each 32."""
    INT4 = "int4"
    """int4 weights, a scale for each 32; activations in float or quantized, as the runtime likes."""
    GPTQ = "gptq"
    """4-bit weights, a scale and a zero point for each 64, fitted to calibration samples."""


OF_LANGUAGE_MODELS = frozenset(
    {Precision.Q8_0, Precision.Q4_K_M, Precision.Q4_0, Precision.IQ4_NL, Precision.INT4, Precision.GPTQ}
)
"""What only formats for language models encode with."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a recipe, as the registry holds it.

    Attributes:
        name: as recipes write it: lower case, digits, hyphens.
        summary: one sentence for `edgemeter recipe ls`.
        precision: what the format is asked to encode with; None for a step that only changes the model,
            which may be followed by others.
        parameters: the arguments that it takes.
        frameworks: those whose models it changes before they are encoded, each by
            `edgemeter_converters.compress.FRAMEWORK.NAME`; empty for a step that only encodes.
        needs_calibration: whether it looks at calibration samples.
        needs_training: whether it looks at training samples; one with a parameter `epochs` that is given as
            0 does not.
        example: its usual call, for help and for the catalogue: "prune(0.5)".
    """

    name: str
    summary: str
    precision: Precision | None
    parameters: tuple[Parameter, ...] = ()
    frameworks: frozenset[str] = frozenset()
    needs_calibration: bool = False
    needs_training: bool = False
    example: str = ""

    @property
    def transforms(self) -> bool:
        return bool(self.frameworks)
