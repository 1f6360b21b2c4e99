"""int4 language models as onnxruntime-genai's own builder writes them."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_converters import models
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.formats.onnx_genai import ONNXGenAI
from edgemeter_converters.models import llama
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from tests import learning_llama

pytestmark = [pytest.mark.needs_torch, pytest.mark.slow]

FORMAT = ONNXGenAI()


def encoded(model: LoadedModel, folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    return FORMAT.encode(
        model, Encoding(precision=Precision.INT4, input_shapes=((256,),), calibration=(), work_dir=folder)
    )


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("llama") / "model"
    return learning_llama.model(folder, tie_word_embeddings=request.param, bos_token_id=0, eos_token_id=0)


@pytest.fixture(scope="module")
def content(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encoded(model, tmp_path_factory.mktemp("work"))


def test_it_computes_what_its_blocks_stand_for(model: LoadedModel, content: bytes) -> None:
    windows = learning_llama.windows(2)
    artifact = FORMAT.open(content)
    (ours,), (theirs,) = artifact.run([windows]), artifact.run_reference([windows])
    (floats,) = models.predict(model, [windows])
    assert ours.shape == (2, 255)
    assert not np.array_equal(ours, theirs)
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.01)
    # Four bits of random weights: some noise, far from another model.
    assert np.mean(ours) == pytest.approx(np.mean(floats), rel=0.05)
    (apart,) = artifact.run([windows[1:]])
    np.testing.assert_array_equal(apart[0], ours[1])


def test_weights_are_counted_in_the_file(model: LoadedModel, content: bytes) -> None:
    artifact = FORMAT.open(content)
    assert artifact.parameters == model.parameters
    # A sixteenth of 4-bit numbers or so is zero.
    matrices = sum(
        math.prod(size)
        for size in llama.shape_of(llama.folder_of(model)).tensors().values()
        if len(size) == 2
    )
    zeros = model.parameters - artifact.non_zero_parameters
    assert 0.02 * matrices < zeros < 0.2 * matrices
    assert artifact.signature == model.signature


def test_a_folder_of_plain_files_that_tells_nothing_of_this_machine(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        config = json.loads(archive.read("genai_config.json"))
        for name in names:
            assert b"/tmp" not in archive.read(name), name
    assert names == sorted(names)
    assert {"genai_config.json", "model.onnx", "tokenizer.json"} < set(names)
    assert config["model"]["vocab_size"] == learning_llama.VOCABULARY
    assert config["model"]["eos_token_id"] == 0


def test_the_same_model_gives_the_same_bytes(model: LoadedModel, content: bytes, tmp_path: Path) -> None:
    assert encoded(model, tmp_path / "again") == content


def test_what_the_builder_refuses_is_said_in_a_line(tmp_path: Path) -> None:
    model = learning_llama.model(tmp_path / "model")
    broken: Any = json.loads((llama.folder_of(model) / llama.TOKENIZER).read_text())
    broken["model"] = {"type": "NoSuchModel"}
    (llama.folder_of(model) / llama.TOKENIZER).write_text(json.dumps(broken))
    with pytest.raises(ConversionError, match="builder can't write the model") as refused:
        encoded(model, tmp_path / "work")
    assert "\n" not in refused.value.message
