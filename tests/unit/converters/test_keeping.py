from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters import keeping
from edgemeter_converters.datasets import Samples
from edgemeter_converters.exceptions import ConversionError

LAYERS = ("stem", "block1/conv", "block1/add", "block2/conv", "head")


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        (("head",), ("head",)),
        (("head", "stem"), ("stem", "head")),
        (("block1/*",), ("block1/conv", "block1/add")),
        (("*/conv", "block2*"), ("block1/conv", "block2/conv")),
        (("*",), LAYERS),
    ],
)
def test_patterns_pick_layers_in_the_networks_order(patterns: tuple[str, ...], kept: tuple[str, ...]) -> None:
    assert keeping.matching(LAYERS, patterns) == kept


def test_a_pattern_that_no_layer_follows_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConversionError, match=r"keep=body\*: no layer .*: stem, block1/conv, .*, head"):
        keeping.matching(LAYERS, ("head", "body*"))


def test_samples_that_judge_have_not_calibrated() -> None:
    x = np.arange(50, dtype=np.float32).reshape(50, 1)
    training = Samples(inputs=(x,), labels=np.arange(50) % 5)
    unseen = keeping.unseen(training, (x[10:30],))
    assert len(unseen) == 30
    assert not set(unseen.inputs[0].ravel()) & set(x[10:30].ravel())
    assert unseen.labels is not None
    assert (unseen.labels == unseen.inputs[0].ravel() % 5).all()


def test_there_is_an_end_to_the_samples_that_judge() -> None:
    x = np.arange(5000, dtype=np.float32).reshape(5000, 1)
    training = Samples(inputs=(x,), labels=np.zeros(5000, dtype=np.int64))
    chosen = keeping.unseen(training, (x[:10],))
    assert len(chosen) == keeping.JUDGED_SAMPLES
    again = keeping.unseen(training, (x[:10],))
    assert (chosen.inputs[0] == again.inputs[0]).all()
