from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgemeter_protos import preprocessing
from edgemeter_protos.v1.variant_pb2 import Preprocessing

IMAGENET = "scale=1/255,mean=0.485;0.456;0.406,std=0.229;0.224;0.225,layout=nchw"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", Preprocessing(), id="nothing"),
        pytest.param("layout=nhwc", Preprocessing(), id="as it is"),
        pytest.param("scale=1/255", Preprocessing(scale=1 / 255), id="a fraction"),
        pytest.param(" scale = 2.5e-3 , mean = .5 ", Preprocessing(scale=2.5e-3, mean=[0.5]), id="spaces"),
        pytest.param(
            "layout=nchw,std=2", Preprocessing(std=[2], channels_first=True), id="in any order, one number"
        ),
        pytest.param("mean=-1;+1;0", Preprocessing(mean=[-1, 1, 0]), id="signs"),
        pytest.param(
            IMAGENET,
            Preprocessing(
                scale=1 / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], channels_first=True
            ),
            id="ImageNet's usual",
        ),
    ],
)
def test_reads(text: str, expected: Preprocessing) -> None:
    assert preprocessing.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("1/255", "'1/255' is no part of a preprocessing: write scale=", id="no key"),
        pytest.param("scale=1,", "'' is no part of a preprocessing", id="a comma at the end"),
        pytest.param("gamma=2", "'gamma=2' is no part of a preprocessing", id="an unknown key"),
        pytest.param("scale=1,scale=2", "scale is there twice", id="twice"),
        pytest.param("scale=", "scale has '': write a number, such as 0.5 or 1/255", id="no number"),
        pytest.param("mean=1,2", "'2' is no part of a preprocessing", id="a comma between channels"),
        pytest.param("mean=1;;2", "mean has '': write a number", id="an empty channel"),
        pytest.param("scale=nan", "scale has 'nan': write a number", id="nan"),
        pytest.param("mean=1_0", "mean has '1_0': write a number", id="an underscore"),
        pytest.param("mean=٣", "mean has '٣': write a number", id="another script's digits"),
        pytest.param("scale=1/2/3", "scale has '1/2/3': write a number", id="two slashes"),
        pytest.param("scale=1/0", "scale has '1/0', which divides by zero", id="a zero denominator"),
        pytest.param("scale=1e999", "scale has a number that is too large", id="infinity"),
        pytest.param("scale=0", "scale has 0: every sample would be the same", id="scale 0"),
        pytest.param("std=1;0", "std has 0: it divides by zero", id="std 0"),
        pytest.param("layout=chw", "layout is 'chw': it is nchw (channels first) or nhwc", id="layout"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        preprocessing.parse(text)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NON_ZERO = NUMBERS.filter(bool)
MESSAGES = st.builds(
    Preprocessing,
    scale=st.none() | NON_ZERO | st.integers(2, 70_000).map(lambda n: 1 / n),
    mean=st.lists(NUMBERS, max_size=3),
    std=st.lists(NON_ZERO, max_size=3),
    channels_first=st.booleans(),
)


@given(MESSAGES)
@example(Preprocessing(scale=-1 / 255))
@example(Preprocessing(scale=5e-324, mean=[-0.0], std=[1.7976931348623157e308]))
def test_text_says_all_there_is(message: Preprocessing) -> None:
    assert preprocessing.parse(preprocessing.text(message)) == message


def test_text_is_for_people() -> None:
    assert preprocessing.text(preprocessing.parse(IMAGENET)) == IMAGENET
    assert preprocessing.text(Preprocessing(scale=0.25)) == "scale=0.25"


@given(st.text(alphabet="scalemntdyouwhc=/;,.0123456789e+- ", max_size=40))
@example("scale=" + "9" * 5000)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        message = preprocessing.parse(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert preprocessing.parse(preprocessing.text(message)) == message


def pixels(*shape: int) -> np.ndarray:
    return np.random.RandomState(3).randint(0, 256, shape).astype(np.uint8)


def test_numbers_are_those_of_the_formula() -> None:
    array = pixels(5, 4, 6, 3)
    made = preprocessing.apply(preprocessing.parse(IMAGENET), array)
    exact = (array / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert made.dtype == np.float32
    assert made.shape == (5, 3, 4, 6)
    assert made.flags.c_contiguous
    np.testing.assert_allclose(made.transpose(0, 2, 3, 1), exact, rtol=1e-6, atol=1e-7)


def test_the_bits_are_pinned() -> None:
    # Computed once on x86-64; a board must come to these very bits, and so must the next release.
    made = preprocessing.apply(preprocessing.parse(IMAGENET), pixels(1, 2, 2, 3))
    assert made.tobytes().hex() == PINNED


PINNED = "e0f89abe0973003ebd8b07c0bb82cc3ef216203fe5c0973f3a83d5bff216c03f67442240ee37d73fa4ba264025b9773d"


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_sample_is_the_same_alone_and_among_others(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    how = preprocessing.parse(f"scale=1/255,mean=0.1;0.2;0.3,std=0.7,layout={layout}")
    array = pixels(7, 9, 5, 3)
    together = preprocessing.apply(how, array)
    monkeypatch.setattr(preprocessing, "_BLOCK_NUMBERS", 2 * 9 * 5 * 3)
    np.testing.assert_array_equal(preprocessing.apply(how, array), together)
    alone = np.concatenate([preprocessing.apply(how, array[n : n + 1]) for n in range(7)])
    assert alone.tobytes() == together.tobytes()


def test_nothing_to_do_changes_nothing() -> None:
    array = pixels(2, 3, 3, 1)
    assert preprocessing.apply(Preprocessing(), array) is array


def test_layout_alone_keeps_the_element_type() -> None:
    array = pixels(2, 3, 4, 5).astype(np.int32)
    made = preprocessing.apply(Preprocessing(channels_first=True), array)
    assert made.dtype == np.int32
    np.testing.assert_array_equal(made, array.transpose(0, 3, 1, 2))


@given(
    array=hnp.arrays(
        st.sampled_from([np.uint8, np.int64, np.float32, np.bool_]),
        hnp.array_shapes(min_dims=2, max_dims=5, max_side=4),
        elements=st.integers(0, 1),
    ),
    how=st.builds(
        Preprocessing,
        scale=st.none() | st.just(0.5),
        mean=st.lists(st.floats(-2, 2), max_size=4),
        std=st.sampled_from([[], [2.0]]),
        channels_first=st.booleans(),
    ),
)
def test_shape_and_type_are_told_before(array: Any, how: Preprocessing) -> None:
    try:
        shape = preprocessing.output_shape(how, array.shape[1:])
    except ValueError:
        with pytest.raises(ValueError, match="channels"):
            preprocessing.apply(how, array)
        return
    made = preprocessing.apply(how, array)
    assert made.shape == (len(array), *shape)
    assert made.dtype.name == preprocessing.output_dtype(how, array.dtype.name)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        pytest.param(
            "mean=1;2;3",
            (4, 4, 1),
            "mean has 3 numbers, and a sample of shape (4, 4, 1) has 1 channels: "
            "give one number, or one a channel",
            id="channels",
        ),
        pytest.param(
            "std=1;2", (), "std has 2 numbers, and a sample of shape () has 0 channels", id="a number"
        ),
        pytest.param(
            "layout=nchw",
            (8,),
            "layout=nchw: a sample of shape (8,) has no channels to put first",
            id="a vector",
        ),
    ],
)
def test_refuses_shapes(text: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        preprocessing.output_shape(preprocessing.parse(text), shape)
    assert str(refused.value).startswith(message)


def test_each_input_has_its_own() -> None:
    first, second = pixels(2, 3), pixels(2, 4)
    made = preprocessing.apply_each([Preprocessing(scale=2), Preprocessing()], [first, second])
    np.testing.assert_array_equal(made[0], first * np.float32(2))
    assert made[1] is second
    assert preprocessing.apply_each([], [first, second]) == (first, second)
    with pytest.raises(ValueError, match="there is preprocessing for 1 inputs, and there are 2"):
        preprocessing.apply_each([Preprocessing()], [first, second])


def test_reading_it_takes_no_numpy() -> None:
    # The command line parses it; numpy would cost it a tenth of a second.
    code = "import sys; from edgemeter_protos import preprocessing as p; p.parse('scale=2')"
    code += "; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
