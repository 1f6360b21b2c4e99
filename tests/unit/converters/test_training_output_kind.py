from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemeter_converters.training.output_kind import OutputKind, output_kind

LOGITS = np.random.default_rng(1).normal(size=(20, 4)) * 3
SOFTMAX = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        (LOGITS, OutputKind.LOGITS),
        (np.abs(LOGITS), OutputKind.LOGITS),
        (np.log(SOFTMAX), OutputKind.LOGITS),
        (SOFTMAX, OutputKind.PROBABILITIES),
        (SOFTMAX.astype(np.float16), OutputKind.PROBABILITIES),
        (1 / (1 + np.exp(-LOGITS)), OutputKind.INDEPENDENT),
    ],
    ids=["logits", "positive logits", "log-softmax", "softmax", "softmax in float16", "sigmoid"],
)
def test_values_tell_what_they_are(outputs: NDArray[np.floating], kind: OutputKind) -> None:
    assert output_kind(outputs) is kind
