"""A language model through the worker: looked at, given a text, written as GGUF, told all about."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path

import numpy as np
import pytest

from edgemeter_converters import build, worker
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.exchange import SharedFolder
from edgemeter_converters.messages import (
    BuildRequest,
    DatasetReport,
    DatasetRequest,
    ModelRequest,
    ModelSource,
)
from edgemeter_converters.models import llama, llama_files, llama_shape
from edgemeter_protos.v1 import lab_pb2, refusal_pb2, variant_pb2
from tests import learning_llama

pytestmark = pytest.mark.needs_torch

MODEL = ModelSource(digest="model", file_name="tiny.zip", task="language-model")

TEXT, DATA, OTHER = "text", "data", "other"


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> SharedFolder:
    folder = tmp_path_factory.mktemp("blobs")
    model = learning_llama.model(folder / "model", bos_token_id=0, eos_token_id=0)
    llama_files.pack(llama.folder_of(model), folder / "packed")
    (folder / TEXT).write_text(learning_llama.text(6000), encoding="utf-8")
    paths = {MODEL.digest: folder / "packed", TEXT: folder / TEXT, DATA: folder / "data.npz"}
    return SharedFolder(
        paths={digest: str(path) for digest, path in paths.items()},
        folder=str(folder),
        checkpoints=str(folder / "checkpoints"),
    )


@pytest.fixture(scope="module")
def data(blobs: SharedFolder) -> DatasetReport:
    asked = DatasetRequest(
        exchange=blobs,
        digest=TEXT,
        file_name="meter.txt",
        reading=lab_pb2.DataReading(tokenizer_model="tiny").SerializeToString(),
        tokenizer=MODEL,
    )
    return worker.inspect_dataset(asked)


def built(blobs: SharedFolder, recipe: str, data: str = DATA) -> variant_pb2.Manifest:
    report = worker.build_variant(
        BuildRequest(
            exchange=blobs,
            variant_id=recipe.replace("@", "-"),
            model=MODEL,
            dataset_digest=data,
            recipe=recipe,
            start=None,
            stages=(),
            seed=5,
        )
    )
    return variant_pb2.Manifest.FromString(report.manifest)


def test_a_model_is_looked_at(blobs: SharedFolder, data: DatasetReport) -> None:
    report = worker.inspect_model(ModelRequest(exchange=blobs, source=MODEL))
    assert (report.framework, report.task) == ("llama", "language-model")
    assert report.vocabulary == data.vocabulary != ""
    shape = llama_shape.from_config(learning_llama.SHAPE | {"model_type": "llama"}, "tiny")
    assert (report.parameters, report.macs) == (shape.parameters, shape.macs_per_token)
    signature = variant_pb2.Signature.FromString(report.signature)
    assert [(spec.name, spec.dtype, list(spec.shape)) for spec in signature.inputs] == [
        ("token_ids", "int32", [-1, 256])
    ]


def test_outputs_that_are_too_large_to_keep_are_noted(
    blobs: SharedFolder, data: DatasetReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_data = SharedFolder(
        paths={**blobs.paths, DATA: data.canonical.path}, folder=blobs.folder, checkpoints=blobs.checkpoints
    )
    size_bytes = 4 * dict(data.splits)["evaluation"] * 255
    monkeypatch.setattr(build, "MAX_REFERENCE_BYTES", size_bytes)
    kept = built(with_data, "q8_0@gguf")
    monkeypatch.setattr(build, "MAX_REFERENCE_BYTES", size_bytes - 1)
    noted = built(with_data, "q8_0@gguf")
    assert kept.reference_digest
    assert not noted.reference_digest
    assert noted.agreement == kept.agreement
    (note,) = set(noted.notes) - set(kept.notes)
    assert note.startswith("What devices compute is not compared with the original: its outputs for the")


def test_a_text_becomes_windows(blobs: SharedFolder, data: DatasetReport) -> None:
    samples = dict(data.splits)
    assert samples["evaluation"] == min(16, round((samples["training"] + samples["evaluation"]) / 5))
    with np.load(Path(data.evaluation_inputs.path)) as archive:
        inputs = archive["input_0"]
    assert (inputs.dtype, inputs.shape) == (np.int32, (samples["evaluation"], 256))
    assert data.evaluation_labels is None


@pytest.mark.parametrize(
    "recipe", ["float32@gguf", "float16@gguf", "q8_0@gguf", "q4_k_m@gguf", "iq4_nl@gguf"]
)
def test_a_variant_is_built_and_scored(blobs: SharedFolder, data: DatasetReport, recipe: str) -> None:
    with_data = SharedFolder(
        paths={**blobs.paths, DATA: data.canonical.path}, folder=blobs.folder, checkpoints=blobs.checkpoints
    )
    manifest = built(with_data, recipe)
    assert manifest.format == "gguf"
    assert [each.runtime for each in manifest.runtimes] == ["llama.cpp"]
    assert (manifest.task, manifest.sample_noun) == ("language-model", "token")
    assert (manifest.quality.metric, manifest.quality.against) == ("perplexity", "labels")
    with np.load(Path(data.evaluation_inputs.path)) as archive:
        inputs = archive["input_0"]
    assert manifest.quality.samples == inputs.shape[0] * 255
    # An untrained model knows next to nothing: about as much as one that takes each token for as likely.
    assert 0.2 * learning_llama.VOCABULARY < manifest.quality.value < 5 * learning_llama.VOCABULARY
    (ratio,) = (each for each in manifest.metrics if each.metric == "perplexity_ratio")
    assert math.isclose(ratio.value, 1, abs_tol=0.005 if "float" in recipe else 0.1)
    assert list(manifest.generation.prompt_ids) == inputs[0, :64].tolist()
    assert (manifest.generation.new_tokens, manifest.generation.context_tokens) == (48, 128)
    assert any("Matrices in the file" in note for note in manifest.notes)
    assert manifest.deterministic


def test_without_data_random_tokens_are_compared(blobs: SharedFolder) -> None:
    manifest = built(blobs, "q4_0@gguf", data="")
    assert not manifest.HasField("quality")
    assert len(set(manifest.generation.prompt_ids)) > 32
    assert max(manifest.generation.prompt_ids) < learning_llama.VOCABULARY


def test_token_ids_of_another_tokenizer_are_refused(
    blobs: SharedFolder, data: DatasetReport, tmp_path: Path
) -> None:
    with np.load(data.canonical.path) as archive:
        arrays = dict(archive)
    arrays["vocabulary"] = np.array(hashlib.sha256(b"another").hexdigest())
    np.savez(tmp_path / "other.npz", **arrays)
    others = dataclasses.replace(blobs, paths={**blobs.paths, OTHER: str(tmp_path / "other.npz")})
    with pytest.raises(ConversionError, match="a tokenizer that does not match the model's") as refused:
        built(others, "float16@gguf", data=OTHER)
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH


def test_a_text_needs_a_tokenizer(blobs: SharedFolder) -> None:
    with pytest.raises(ConversionError, match=r"meter\.txt: token ids of a text depend on the model"):
        worker.inspect_dataset(DatasetRequest(exchange=blobs, digest=TEXT, file_name="meter.txt"))


def test_other_data_needs_none(blobs: SharedFolder) -> None:
    asked = DatasetRequest(exchange=blobs, digest=TEXT, file_name="meter.npz", tokenizer=MODEL)
    with pytest.raises(ConversionError, match=r"meter\.npz: only \.txt files have tokens"):
        worker.inspect_dataset(asked)
