from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters import recipes, stages
from edgemeter_converters.datasets import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2

TRAINS = recipes.parse("prune(0.5)").steps
TRAINS_NOT = recipes.parse("prune(0.5,epochs=0)").steps
INPUTS = (np.zeros((4, 2), dtype=np.float32),)
TWO_CLASSES = Samples(inputs=INPUTS, labels=np.array([0, 1, 0, 1]))
ONE_CLASS = Samples(inputs=INPUTS, labels=np.array([2, 2, 2, 2]))
UNLABELLED = Samples(inputs=INPUTS)


@pytest.mark.parametrize("samples", [None, TWO_CLASSES, ONE_CLASS])
def test_a_step_that_trains_nothing_gets_nothing(samples: Samples | None) -> None:
    assert stages.training_samples(samples, TRAINS_NOT, "classification", 3) is None


@pytest.mark.parametrize("samples", [TWO_CLASSES, UNLABELLED])
def test_a_step_that_trains_gets_the_training_samples(samples: Samples) -> None:
    assert stages.training_samples(samples, TRAINS, "classification", 3) is samples


@pytest.mark.parametrize(
    ("samples", "reason", "message"),
    [
        (None, refusal_pb2.REFUSAL_REASON_BAD_REQUEST, "'prune' fine-tunes, .*or write epochs=0"),
        (ONE_CLASS, refusal_pb2.REFUSAL_REASON_NOT_A_DATASET, "every training sample is of class 2"),
    ],
)
def test_what_can_not_be_trained_with(samples: Samples | None, reason: int, message: str) -> None:
    with pytest.raises(ConversionError, match=message) as refused:
        stages.training_samples(samples, TRAINS, "classification", 3)
    assert refused.value.reason == reason
