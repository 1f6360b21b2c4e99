"""SmolLM2-135M, out of its package: the file that we write computes what torch does with its weights."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgemeter_converters import models
from edgemeter_converters.datasets import text
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.formats.gguf import GGUF
from edgemeter_converters.models import llama, llama_gguf
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_converters.zoo.entries.smollm2 import write_data, write_model

pytestmark = [pytest.mark.slow, pytest.mark.needs_torch, pytest.mark.timeout(900)]

FORMAT = GGUF()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smollm2")
    write_model(folder / "SmolLM2.gguf")
    write_data(folder / "science.txt")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return models.load(folder / "SmolLM2.gguf", "SmolLM2.gguf")


def encoded(model: LoadedModel, precision: Precision, work_dir: Path) -> bytes:
    return FORMAT.encode(
        model, Encoding(precision=precision, input_shapes=((256,),), calibration=(), work_dir=work_dir)
    )


def test_perplexity_is_torchs_within_half_a_percent(model: LoadedModel, folder: Path, tmp_path: Path) -> None:
    tokenizer = models.tokenizer(model)
    assert tokenizer is not None
    windows = text.read(folder / "science.txt", "science.txt", tokenizer).evaluation.inputs[0][:2]
    (ours,) = FORMAT.open(encoded(model, Precision.FLOAT16, tmp_path)).run([windows])
    (theirs,) = models.predict(model, [windows])
    assert np.exp(ours.mean()) == pytest.approx(np.exp(theirs.mean()), rel=0.005)
    # Science in English, of which it knows much.
    assert 10 < np.exp(theirs.mean()) < 100


def test_it_is_what_its_card_says(model: LoadedModel) -> None:
    shape = llama.shape_of(llama.folder_of(model))
    assert (model.parameters, shape.layers, shape.hidden, shape.tied) == (134_515_008, 30, 576, True)
    (note,) = model.notes
    assert "dequantized Q4_1 (210 of 211 matrices), Q8_0 (1 of 211 matrices)" in note


def test_tokens_are_llama_cpps(model: LoadedModel, folder: Path) -> None:
    from ik_llama_cpp._internals import IkModel

    tokenizer = models.tokenizer(model)
    assert tokenizer is not None
    written = (folder / "science.txt").read_text(encoding="utf-8")[:4000]
    theirs = IkModel(str(folder / "SmolLM2.gguf")).tokenize(written, add_bos=False)
    assert text.token_ids(written, tokenizer).tolist() == theirs


def test_most_matrices_fall_back_from_q4_k_m(model: LoadedModel, tmp_path: Path) -> None:
    content = encoded(model, Precision.Q4_K_M, tmp_path)
    first, second = FORMAT.open(content).notes
    assert first.endswith(": 166 Q5_0, 16 Q4_K, 15 Q8_0, 14 Q6_K.")
    assert second.startswith("181 of 211 matrices fell back from Q4_K_M")
    assert 105_000_000 < len(content) < 106_000_000


def test_the_tokenizer_of_the_original_goes_along(model: LoadedModel, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "q.gguf").write_bytes(encoded(model, Precision.Q4_0, tmp_path))
    theirs, ours = (
        llama_gguf.tokenizer_metadata(llama_gguf.opened(path, path.name))
        for path in (folder / "SmolLM2.gguf", tmp_path / "q.gguf")
    )
    assert ours == theirs
