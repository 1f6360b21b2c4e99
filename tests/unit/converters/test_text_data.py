from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters import datasets
from edgemeter_converters.datasets import text
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import lab_pb2, refusal_pb2
from tests import learning_llama


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    learning_llama.tokenizer().save(str(path))
    return path


def written(folder: Path, words: int) -> Path:
    (folder / "meter.txt").write_text(learning_llama.text(words), encoding="utf-8")
    return folder / "meter.txt"


def test_the_end_is_held_out_in_one_piece(tokenizer: Path, tmp_path: Path) -> None:
    path = written(tmp_path, 3000)
    dataset = text.read(path, "meter.txt", tokenizer)
    ids = text.token_ids(path.read_text(encoding="utf-8"), tokenizer)
    training, evaluation = dataset.training.inputs[0], dataset.evaluation.inputs[0]
    whole = len(ids) // 256
    assert len(evaluation) == round(0.2 * whole)
    np.testing.assert_array_equal(np.concatenate([training, evaluation]).ravel(), ids[: whole * 256])
    assert training.dtype == np.int32
    assert (dataset.classes, dataset.evaluation.labels) == (0, None)
    assert len(dataset.vocabulary) == 64


def test_what_is_written_is_read_again(tokenizer: Path, tmp_path: Path) -> None:
    dataset = text.read(written(tmp_path, 3000), "meter.txt", tokenizer)
    datasets.write(tmp_path / "data.npz", dataset)
    again = datasets.read(tmp_path / "data.npz", "data.npz")
    assert again.vocabulary == dataset.vocabulary
    assert datasets.samples_digest(again.evaluation) == datasets.samples_digest(dataset.evaluation)
    assert datasets.inputs_digest(again.calibration) == datasets.inputs_digest(dataset.calibration)


def test_windows_of_another_length(tokenizer: Path, tmp_path: Path) -> None:
    dataset = datasets.read_text(
        written(tmp_path, 600), "meter.txt", tokenizer, lab_pb2.DataReading(window_tokens=32)
    )
    assert dataset.evaluation.inputs[0].shape[1] == 32


@given(st.integers(2, 400))
def test_both_splits_have_windows_and_share_none(windows: int) -> None:
    training, evaluation = text.split(np.arange(windows * 4, dtype=np.int32).reshape(windows, 4))
    assert 1 <= len(evaluation) <= text.MAX_EVALUATION_WINDOWS
    assert len(training) + len(evaluation) == windows
    assert training.max() < evaluation.min()


def test_a_window_that_stands_in_both_is_left_to_evaluation() -> None:
    windows = np.array([[1, 2], [3, 4], [5, 6], [7, 8], [3, 4]], dtype=np.int32)
    training, evaluation = text.split(windows)
    assert evaluation.tolist() == [[3, 4]]
    assert training.tolist() == [[1, 2], [5, 6], [7, 8]]


def test_a_byte_order_mark_is_no_text(tokenizer: Path, tmp_path: Path) -> None:
    plain, marked = written(tmp_path, 600), tmp_path / "marked.txt"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes())
    first, second = (text.read(each, "x.txt", tokenizer, 32) for each in (plain, marked))
    assert datasets.samples_digest(first.training) == datasets.samples_digest(second.training)


def test_special_tokens_are_not_added(tokenizer: Path) -> None:
    assert text.token_ids("the meter", tokenizer).tolist()[0] != 0
    assert len(text.token_ids("", tokenizer)) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"the meter", "tokens long; at least 512 are needed", id="short"),
        pytest.param(b"", "it is 0 tokens long", id="empty"),
        pytest.param(b"the \xff\xfe meter", "byte 4 is not UTF-8", id="not UTF-8"),
        pytest.param(b"a" * 256 * 8, "it repeats itself", id="the same again and again"),
    ],
)
def test_what_is_no_text_to_learn_from_is_refused(
    tokenizer: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(ConversionError, match=said) as refused:
        text.read(tmp_path / "x.txt", "x.txt", tokenizer)
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_DATASET


def test_a_text_that_is_too_long_is_refused(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "MAX_BYTES", 100)
    with pytest.raises(ConversionError, match="at most 100 are read: cut it") as refused:
        text.read(written(tmp_path, 600), "x.txt", tokenizer)
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_TOO_LARGE


def test_it_is_said_what_a_text_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="name it with --tokenizer MODEL"):
        datasets.read(written(tmp_path, 10), "meter.txt")
