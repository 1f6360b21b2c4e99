"""Quantized language models in torch: what they lose, what they weigh, and that a file is all there is."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgemeter_converters import models
from edgemeter_converters.compress.llama import gptq
from edgemeter_converters.datasets import npz, splits
from edgemeter_converters.datasets.dataset import Dataset, Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.exchange import SharedFolder
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.formats.torch_llm import TorchLLM
from edgemeter_converters.messages import BuildRequest, ModelSource, StageReport, StageRequest, Start
from edgemeter_converters.models import llama, llama_files
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_converters.worker import apply_stage, build_variant
from edgemeter_protos.v1 import variant_pb2
from tests import learning_llama
from tests.integration.converters.llama_nets import other_text, taught, texts

pytestmark = pytest.mark.needs_torch


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return taught(tmp_path_factory.mktemp("taught"))


def encoding(precision: Precision, work_dir: Path) -> Encoding:
    windows = texts(16).inputs
    return Encoding(
        precision=precision, input_shapes=((learning_llama.WINDOW,),), calibration=windows, work_dir=work_dir
    )


def test_each_loses_what_its_bits_lose(model: LoadedModel, tmp_path: Path) -> None:
    windows = learning_llama.windows(4, seed=9)
    (expected,) = models.predict(model, (windows,))
    lost: dict[Precision, float] = {}
    sizes: dict[Precision, int] = {}
    for precision in sorted(TorchLLM.precisions, key=lambda each: each.value):
        content = TorchLLM().encode(model, encoding(precision, tmp_path))
        assert TorchLLM().encode(model, encoding(precision, tmp_path)) == content
        artifact = TorchLLM().open(content)
        (outputs,) = artifact.run((windows,))
        assert outputs.shape == (4, learning_llama.WINDOW - 1)
        np.testing.assert_allclose(outputs, artifact.run_reference((windows,))[0], rtol=1e-2, atol=1e-2)
        assert artifact.parameters == model.parameters
        assert 0.8 * model.parameters < artifact.non_zero_parameters <= model.parameters
        assert "on the coordinator only" in artifact.notes[0]
        lost[precision], sizes[precision] = float(np.abs(outputs - expected).mean()), len(content)
    assert lost[Precision.WEIGHT_ONLY_INT8] < lost[Precision.DYNAMIC_INT8]
    assert lost[Precision.DYNAMIC_INT8] < lost[Precision.WEIGHT_ONLY_INT4]
    # Of the same grid and size, what is fitted to the text loses far less of it.
    assert lost[Precision.GPTQ] < 0.6 * lost[Precision.WEIGHT_ONLY_INT4]
    assert lost[Precision.WEIGHT_ONLY_INT8] < 0.02
    shape = llama.shape_of(llama.folder_of(model))
    dense = sum(rows * columns for rows, columns in _dense_layers(shape))
    tokens = 2 * shape.vocabulary * shape.hidden
    # A scale of two bytes and a zero point of one for each 64 weights of half a byte.
    assert sizes[Precision.GPTQ] == pytest.approx(tokens + dense * (0.5 + 3 / 64), rel=0.15)
    assert sizes[Precision.GPTQ] < 0.7 * sizes[Precision.WEIGHT_ONLY_INT8]


def _dense_layers(shape: Any) -> list[tuple[int, ...]]:
    return [size for name, size in shape.tensors().items() if name.endswith("proj.weight")]


def test_gptq_keeps_what_its_inputs_show() -> None:
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 128, generator=random)
    # Inputs that go together: what one's rounding loses another can make up for.
    inputs = torch.randn(2000, 16, generator=random) @ torch.randn(16, 128, generator=random)
    inputs += 0.1 * torch.randn(2000, 128, generator=random)
    gram = (inputs.T @ inputs).double()

    def lost(quantized: gptq.Quantized) -> float:
        return float(((inputs @ (weight - quantized.dequantized()).T) ** 2).mean())

    nearest, fitted = gptq.nearest(weight), gptq.gptq(weight, gram)
    assert lost(fitted) < 0.3 * lost(nearest)
    for each in (nearest, fitted):
        assert each.levels.dtype == torch.uint8
        assert int(each.levels.max()) <= gptq.LEVELS
        assert each.scales.shape == each.zeros.shape == (48, 2)
    # Rounding alone is never off by more than half a step.
    steps = nearest.scales.float().repeat_interleave(64, dim=1)
    assert bool(((weight - nearest.dequantized()).abs() <= 0.501 * steps).all())
    # Inputs of which none tells of another leave nothing to make up for.
    alone = gptq.gptq(weight, torch.eye(128, dtype=torch.float64))
    torch.testing.assert_close(alone.dequantized(), nearest.dequantized())


@pytest.mark.parametrize(("inputs", "group"), [(576, 64), (1536, 64), (96, 32), (48, 16), (6, 6)])
def test_groups(inputs: int, group: int) -> None:
    assert gptq.group_size(inputs) == group


def test_dead_inputs_and_rows_of_zeros() -> None:
    weight = torch.zeros(3, 64)
    weight[0] = 1.0
    gram = torch.zeros(64, 64, dtype=torch.float64)
    found = gptq.gptq(weight, gram).dequantized()
    torch.testing.assert_close(found, weight, rtol=1e-3, atol=1e-3)


def test_text_of_another_tokenizer_is_refused(model: LoadedModel, tmp_path: Path) -> None:
    asked = encoding(Precision.GPTQ, tmp_path)
    strange = asked.calibration[0].copy()
    strange[0, 0] = 320
    with pytest.raises(ConversionError, match="holds token 320, and the model knows 0 to 319"):
        TorchLLM().encode(model, dataclasses.replace(asked, calibration=(strange,)))


def test_adapted_and_quantized_through_a_worker(
    model: LoadedModel, worker: ProcessPoolExecutor, tmp_path: Path
) -> None:
    """The adapter's file comes out of the stage, and is told of in the variant's manifest."""
    llama_files.pack(llama.folder_of(model), tmp_path / "model")
    training, evaluation = splits.split(Samples(inputs=(other_text(24),)))
    data = Dataset(
        training=training,
        calibration=splits.pick_calibration(training.inputs, evaluation.inputs),
        evaluation=evaluation,
        classes=0,
    )
    npz.write(tmp_path / "data", data)
    blobs = SharedFolder(
        paths={"model": str(tmp_path / "model"), "data": str(tmp_path / "data")},
        folder=str(tmp_path),
        checkpoints=str(tmp_path / "checkpoints"),
    )
    source = ModelSource(digest="model", file_name="tiny.zip")
    left: StageReport = worker.submit(
        apply_stage,
        StageRequest(
            exchange=blobs,
            stage_id="stage",
            model=source,
            dataset_digest="data",
            start=None,
            step="lora(4,lr=0.01,steps=16)",
            seed=5,
        ),
    ).result(timeout=120)
    stage = variant_pb2.Stage.FromString(left.stage)
    (adapter,) = stage.attachments
    assert adapter.name == "adapter.safetensors"
    assert Path(left.attachments[0].path).stat().st_size == adapter.size_bytes
    assert left.file_name == "stage.zip"
    blobs = dataclasses.replace(blobs, paths={**blobs.paths, "stage": left.made.path})
    manifests = {}
    for start, stages in ((None, ()), (Start(digest="stage", file_name="stage.zip"), (left.stage,))):
        built = worker.submit(
            build_variant,
            BuildRequest(
                exchange=blobs,
                variant_id="variant",
                model=source,
                dataset_digest="data",
                recipe=f"{'lora(4,lr=0.01,steps=16)+' if start else ''}gptq@torch-llm",
                start=start,
                stages=stages,
                seed=5,
            ),
        ).result(timeout=120)
        manifests[bool(start)] = variant_pb2.Manifest.FromString(built.manifest)
    assert not manifests[False].attachments
    assert list(manifests[True].attachments) == [adapter]
    assert not manifests[True].runtimes
    assert manifests[True].tool_versions["peft"]
    perplexities = {
        adapted: next(each.value for each in manifest.metrics if each.metric == "perplexity")
        for adapted, manifest in manifests.items()
    }
    assert perplexities[True] < 0.5 * perplexities[False]
