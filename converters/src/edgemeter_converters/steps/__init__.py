"""The steps that recipes are made of, one file each. A new step is a file here and a line in `STEPS`; one
that changes the model has a file `compress/FRAMEWORK/NAME.py` for each framework too."""

from __future__ import annotations

from types import MappingProxyType

from edgemeter_converters.steps import (
    cluster,
    distill,
    dynamic,
    float16,
    float32,
    gptq,
    int4,
    int8,
    int16x8,
    iq4_nl,
    lora,
    low_rank,
    prune,
    prune_channels,
    prune_layers,
    prune_width,
    q4_0,
    q4_k_m,
    q8_0,
    qat,
    w4a8,
    weight_only_int4,
    weight_only_int8,
)
from edgemeter_converters.steps.step import OF_LANGUAGE_MODELS, Precision, Step

__all__ = ["OF_LANGUAGE_MODELS", "STEPS", "Precision", "Step"]

STEPS = MappingProxyType(
    {
        step.name: step
        for step in (
            float32.STEP,
            float16.STEP,
            dynamic.STEP,
            int8.STEP,
            int16x8.STEP,
            weight_only_int8.STEP,
            weight_only_int4.STEP,
            w4a8.STEP,
            q8_0.STEP,
            q4_k_m.STEP,
            q4_0.STEP,
            iq4_nl.STEP,
            int4.STEP,
            gptq.STEP,
            qat.STEP,
            prune.STEP,
            prune_channels.STEP,
            prune_layers.STEP,
            prune_width.STEP,
            lora.STEP,
            low_rank.STEP,
            cluster.STEP,
            distill.STEP,
        )
    }
)
