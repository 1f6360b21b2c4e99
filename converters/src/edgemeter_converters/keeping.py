"""Leaving sensitive layers in float: which, and how well that does. For conversion workers only."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters import models, sensitivity
from edgemeter_converters.datasets import Inputs, Samples, splits
from edgemeter_converters.datasets.digests import sample_digest
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding, Format
from edgemeter_converters.models import LoadedModel
from edgemeter_converters.steps.transform import Progress
from edgemeter_protos.v1 import refusal_pb2

JUDGED_SAMPLES = 1000
"""So that a bound of half a percent is five samples."""

_NOISE_SAMPLES = 32
"""Noise is an average over samples and outputs, and settles far sooner than accuracy."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is tried again and again with other layers in float.

    Attributes:
        encoding: of a quantized precision; its `keep` is not looked at.
        judged: labelled samples, as the model takes them, that neither calibrate nor evaluate.
        work_dir: an empty folder.
    """

    format_: Format
    model: LoadedModel
    encoding: Encoding
    judged: Samples
    work_dir: Path


def matching(layers: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """The layers whose names follow one of the patterns, in the network's order.

    Raises:
        ConversionError: a pattern that none follows; the nearest names are told.
    """
    for pattern in patterns:
        if not fnmatch.filter(layers, pattern):
            known = ", ".join(layers[:8]) + (", …" if len(layers) > 8 else "")
            raise ConversionError(
                f"keep={pattern}: no layer is called so; those that can be kept: {known or 'none'}",
                reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            )
    return tuple(layer for layer in layers if any(fnmatch.fnmatchcase(layer, each) for each in patterns))


def choose(trial: Trial, bound: float, progress: Progress) -> tuple[tuple[str, ...], str]:
    """The layers to leave in float, and a sentence on what that costs and gains.

    Args:
        bound: by how much the share of right answers may drop against the network in float.

    Raises:
        ConversionError: there are no layers to choose from.
    """
    layers = trial.format_.layers(trial.model, trial.encoding)
    if not layers:
        raise ConversionError(
            f"auto_keep: no layer of this model can be left in float as {trial.format_.name!r}",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    labels = trial.judged.labels
    assert labels is not None
    in_float = _right(models.predict(trial.model, trial.judged.inputs)[0], labels)
    drops: dict[tuple[str, ...], float] = {}

    def drop(keep: tuple[str, ...]) -> float:
        # Each trial is a conversion.
        if keep not in drops:
            progress(0.9, f"quality with {len(keep)} of {len(layers)} layers in float")
            drops[keep] = in_float - _right(_outputs(trial, keep, trial.judged.inputs)[0], labels)
        return drops[keep]

    kept: tuple[str, ...] | None = ()
    # Most nets need none, and to find the order of layers costs a conversion for each.
    if drop(()) > bound:
        noise = _noise_of_each(trial, layers, progress)
        kept = sensitivity.fewest_kept(sensitivity.by_sensitivity(noise), drop, bound)
    if kept is None:
        raise ConversionError(
            f"auto_keep: with every layer in float it still loses more than {bound:.2%} of right answers"
        )
    in_order = tuple(layer for layer in layers if layer in kept)
    return in_order, (
        f"{len(kept)} of {len(layers)} layers were left in float, chosen by {len(labels)} training samples: "
        f"in float {in_float:.2%} of them are right, with these layers kept {in_float - drops[kept]:.2%}."
    )


def _noise_of_each(trial: Trial, layers: Sequence[str], progress: Progress) -> dict[str, float]:
    """What quantizing each layer alone adds to the outputs."""
    few = tuple(array[:_NOISE_SAMPLES] for array in trial.judged.inputs)
    expected = models.predict(trial.model, few)
    noise: dict[str, float] = {}
    for number, layer in enumerate(layers):
        progress(0.8 * number / len(layers), f"sensitivity of layer {number + 1} of {len(layers)}")
        others = tuple(each for each in layers if each != layer)
        noise[layer] = _noise(expected, _outputs(trial, others, few))
    return noise


def unseen(training: Samples, calibration: Inputs) -> Samples:
    """Up to JUDGED_SAMPLES training samples that calibration does not look at, seeded."""
    seen = {sample_digest(calibration, at) for at in range(len(calibration[0]))}
    # RandomState: its stream is frozen for good (NEP 19).
    order = np.random.RandomState(splits.SPLIT_SEED).permutation(len(training))
    chosen: list[int] = []
    for at in order:
        if len(chosen) == JUDGED_SAMPLES:
            break
        if sample_digest(training.inputs, int(at)) not in seen:
            chosen.append(int(at))
    picked = np.array(sorted(chosen), dtype=np.intp)
    return Samples(
        inputs=tuple(array[picked] for array in training.inputs),
        labels=training.labels[picked] if training.labels is not None else None,
    )


def _outputs(trial: Trial, keep: tuple[str, ...], inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    folder = trial.work_dir / str(sum(1 for _ in trial.work_dir.iterdir()))
    folder.mkdir()
    options = replace(trial.encoding.options, keep=tuple(map(_escaped, keep)), keeps_by_itself=False)
    content = trial.format_.encode(trial.model, replace(trial.encoding, options=options, work_dir=folder))
    return trial.format_.open(content).run(inputs)


def _escaped(name: str) -> str:
    """A pattern that this name alone follows."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _noise(expected: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]) -> float:
    """Of the outputs, as a share of the signal's power."""
    power = sum(float(np.square(each).sum()) for each in expected)
    error = sum(float(np.square(one - two).sum()) for one, two in zip(expected, outputs, strict=True))
    return error / power if power else error


def _right(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    return float(np.mean(scores.argmax(axis=1) == labels))
