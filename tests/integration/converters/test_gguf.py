"""GGUF files of small Llamas: llama.cpp computes with them what torch does, and they can be read back."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import gguf as gguf_package
import numpy as np
import pytest
from numpy.typing import NDArray

from edgemeter_converters import models
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import gguf_quantizer, gguf_writer
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.formats.gguf import GGUF
from edgemeter_converters.formats.gguf_artifact import GGUFArtifact
from edgemeter_converters.models import llama
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from tests import learning_llama

pytestmark = pytest.mark.needs_torch

FORMAT = GGUF()

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}

SHAPES: dict[str, dict[str, Any]] = {
    "tied, two heads share keys": {},
    "untied": {"tie_word_embeddings": False},
    "as many heads of keys": {"num_key_value_heads": 4},
    "heads wider than their share": {"head_dim": 32},
    "llama 3's rotations": {"rope_parameters": LLAMA3, "max_position_embeddings": 16384},
    "rotations stretched evenly": {
        "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}
    },
    # Of blocks of 256 numbers, as large models' are.
    "rows of 256": {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_attention_heads": 8,
        "head_dim": 32,
    },
}

QUANTIZED = [*gguf_quantizer.KINDS]


@pytest.fixture(scope="module", params=SHAPES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return learning_llama.model(tmp_path_factory.mktemp("llama") / "model", **SHAPES[request.param])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return learning_llama.model(tmp_path_factory.mktemp("llama") / "model")


def encoded(model: LoadedModel, precision: Precision, folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    return FORMAT.encode(
        model, Encoding(precision=precision, input_shapes=((256,),), calibration=(), work_dir=folder)
    )


def perplexity(nll: NDArray[Any]) -> float:
    return float(np.exp(np.mean(nll)))


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT16])
def test_llama_cpp_gives_torchs_perplexity(model: LoadedModel, precision: Precision, tmp_path: Path) -> None:
    windows = learning_llama.windows(2)
    artifact = FORMAT.open(encoded(model, precision, tmp_path))
    (ours,), (theirs,) = artifact.run([windows]), models.predict(model, [windows])
    assert ours.shape == (2, 255)
    assert perplexity(ours) == pytest.approx(perplexity(theirs), rel=0.005)
    # Each token, not their mean alone.
    assert np.abs(ours - theirs).max() < 0.02 * np.abs(theirs).max()
    assert artifact.parameters == model.parameters
    assert artifact.signature == model.signature


@pytest.mark.parametrize("precision", QUANTIZED)
def test_quantized_files_compute_what_their_blocks_stand_for(
    model: LoadedModel, precision: Precision, tmp_path: Path
) -> None:
    windows = learning_llama.windows(2)
    artifact = FORMAT.open(encoded(model, precision, tmp_path))
    (ours,), (theirs,) = artifact.run([windows]), artifact.run_reference([windows])
    # What goes into a matrix is rounded to 8 bits.
    assert perplexity(ours) == pytest.approx(perplexity(theirs), rel=0.02)
    assert artifact.parameters == model.parameters
    assert artifact.non_zero_parameters <= model.parameters


def test_windows_know_nothing_of_each_other(plain: LoadedModel, tmp_path: Path) -> None:
    windows = learning_llama.windows(3)
    artifact = FORMAT.open(encoded(plain, Precision.Q8_0, tmp_path))
    (together,) = artifact.run([windows])
    alone = [artifact.run([windows[at : at + 1]])[0][0] for at in (2, 0, 1)]
    np.testing.assert_array_equal(together[[2, 0, 1]], alone)


def test_a_file_of_floats_reads_back_as_it_was(model: LoadedModel, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(encoded(model, Precision.FLOAT32, tmp_path))
    again = models.load(path, "model.gguf")
    first, second = llama.folder_of(model), llama.folder_of(again)
    assert (first / llama.WEIGHTS).read_bytes() == (second / llama.WEIGHTS).read_bytes()
    assert json.loads((first / llama.CONFIG).read_text()) == json.loads((second / llama.CONFIG).read_text())
    assert models.vocabulary_digest(model) == models.vocabulary_digest(again)
    assert again.notes == ()


def test_transformers_reads_the_file_as_we_do(plain: LoadedModel, tmp_path: Path) -> None:
    import torch
    import transformers

    (tmp_path / "model.gguf").write_bytes(encoded(plain, Precision.FLOAT32, tmp_path / "work"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        str(tmp_path), gguf_file="model.gguf", dtype=torch.float32
    )
    ours = llama.load_module(llama.folder_of(plain))
    ids = torch.from_numpy(learning_llama.windows(1).astype(np.int64))
    with torch.inference_mode():
        torch.testing.assert_close(theirs(ids).logits, ours(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", [Precision.FLOAT16, *QUANTIZED])
def test_the_same_model_gives_the_same_bytes(
    plain: LoadedModel, precision: Precision, tmp_path: Path
) -> None:
    digests = {
        hashlib.sha256(encoded(plain, precision, tmp_path / name)).hexdigest() for name in ("one", "two")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("precision", QUANTIZED)
def test_every_kind_of_block_is_one_that_llama_cpp_itself_knows(
    model: LoadedModel, precision: Precision, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(encoded(model, precision, tmp_path))
    # Its reader takes the kinds of llama.cpp, and none of its forks'.
    kinds = {tensor.tensor_type.name for tensor in gguf_package.GGUFReader(path).tensors}
    assert kinds <= {"F32", "Q8_0", "Q4_0", "Q5_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"}


def test_fallbacks_are_counted_as_the_quantizer_counts_them(plain: LoadedModel, tmp_path: Path) -> None:
    shape = llama.shape_of(llama.folder_of(plain))
    gguf_writer.write(llama.folder_of(plain), tmp_path / "floats.gguf", half=False)
    said = gguf_quantizer.quantize(tmp_path / "floats.gguf", tmp_path / "q.gguf", Precision.Q4_K_M, shape)
    # Matrices of layers; the tokens' matrix it changes without a word.
    assert sum(said.values()) == 7 * shape.layers
    artifact = GGUFArtifact((tmp_path / "q.gguf").read_bytes())
    first, second = artifact.notes
    assert re.fullmatch(r"Matrices in the file by llama\.cpp's kinds: \d+ Q5_0, \d+ Q8_0\.", first)
    assert second.startswith(
        f"{7 * shape.layers + 1} of {7 * shape.layers + 1} matrices fell back from Q4_K_M"
    )


def test_nothing_falls_back_where_rows_can_be_cut(tmp_path: Path) -> None:
    model = learning_llama.model(tmp_path / "model", **SHAPES["rows of 256"])
    (note,) = FORMAT.open(encoded(model, Precision.Q4_K_M, tmp_path / "work")).notes
    assert "fell back" not in note


def test_llama_cpp_cuts_texts_as_the_tokenizer_does(plain: LoadedModel, tmp_path: Path) -> None:
    from ik_llama_cpp._internals import IkModel
    from tokenizers import Tokenizer

    (tmp_path / "model.gguf").write_bytes(encoded(plain, Precision.FLOAT16, tmp_path))
    text = "the meter reads 7 watts,\n and  rests — naïve 日本 while the board warms."
    ours = Tokenizer.from_file(str(llama.folder_of(plain) / llama.TOKENIZER)).encode(text).ids
    assert IkModel(str(tmp_path / "model.gguf")).tokenize(text, add_bos=False) == ours


def test_ids_that_the_model_does_not_know_are_refused(plain: LoadedModel, tmp_path: Path) -> None:
    windows = learning_llama.windows(1)
    windows[0, 7] = learning_llama.VOCABULARY
    artifact = FORMAT.open(encoded(plain, Precision.Q4_0, tmp_path))
    with pytest.raises(ConversionError, match="a tokenizer that does not match"):
        artifact.run([windows])


def test_a_quantized_original_says_so(plain: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(encoded(plain, Precision.Q4_0, tmp_path))
    (note,) = models.load(tmp_path / "model.gguf", "model.gguf").notes
    assert note.startswith(
        "The original is a GGUF whose float32 is dequantized Q4_0 (21 of 22 matrices), Q8_0 (1"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "no GGUF file, or a damaged one", id="empty"),
        pytest.param(b"I am no model at all, but text", "no GGUF file", id="text"),
        pytest.param(b"GGUF\x03\x00\x00\x00" + b"\xff" * 64, "no GGUF file", id="absurd counts"),
    ],
)
def test_what_is_no_gguf_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(ConversionError, match=said):
        models.load(tmp_path / "x.gguf", "x.gguf")


def test_a_file_that_is_cut_short_is_refused(plain: LoadedModel, tmp_path: Path) -> None:
    whole = encoded(plain, Precision.FLOAT16, tmp_path)
    for share in (0.01, 0.3, 0.6, 0.99):
        (tmp_path / "x.gguf").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ConversionError, match=r"x\.gguf"):
            models.load(tmp_path / "x.gguf", "x.gguf")


def test_another_architecture_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    writer = gguf_package.GGUFWriter(tmp_path / "x.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ConversionError, match="architecture 'mamba'; language models are read of 'llama'"):
        models.load(tmp_path / "x.gguf", "x.gguf")
