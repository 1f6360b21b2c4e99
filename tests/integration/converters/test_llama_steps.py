"""Layers, channels, ranks and single weights of language models: what is gone is gone, the rest works."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgemeter_converters import models
from edgemeter_converters.compress.llama import blocks
from edgemeter_converters.compress.llama.influence import block_influence, least
from edgemeter_converters.compress.llama.low_rank import truncated
from edgemeter_converters.compress.llama.modules import transformed, writable
from edgemeter_converters.compress.llama.prune import mask
from edgemeter_converters.compress.llama.reconstruct import importance, without_inputs
from edgemeter_converters.datasets import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.formats.gguf import GGUF
from edgemeter_converters.models import llama
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_converters.steps.call import Ratio
from edgemeter_protos.v1 import refusal_pb2
from tests import learning_llama
from tests.integration.converters.llama_nets import perplexity, run, taught, texts

pytestmark = pytest.mark.needs_torch


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return taught(tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="module")
def held_out() -> Any:
    return learning_llama.windows(6, seed=9)


def test_it_has_learned(model: LoadedModel, held_out: Any) -> None:
    assert perplexity(model, held_out) < 4 < learning_llama.VOCABULARY


def test_blocks_one_by_one_are_the_whole_model(model: LoadedModel, held_out: Any) -> None:
    module = writable(model)
    stream = blocks.entering(module, held_out)
    for block in module.model.layers:
        stream = stream.after(block)
    with torch.inference_mode():
        walked = module.lm_head(module.model.norm(torch.cat(stream.hidden)))
        whole = module(input_ids=torch.from_numpy(held_out.astype(np.int64)), use_cache=False).logits
    torch.testing.assert_close(walked, whole, rtol=1e-4, atol=1e-4)


def test_grams_are_of_what_a_layer_is_given(model: LoadedModel, held_out: Any) -> None:
    module = writable(model)
    seen: list[Any] = []
    block = module.model.layers[1]
    hook = block.mlp.down_proj.register_forward_pre_hook(lambda _layer, given: seen.append(given[0]))
    stream = blocks.entering(module, held_out).after(module.model.layers[0])
    with blocks.grams(blocks.linears(block)) as found:
        stream.after(block)
    hook.remove()
    rows = torch.cat([each.flatten(0, 1) for each in seen]).double()
    assert len(rows) == held_out.size
    torch.testing.assert_close(found["mlp.down_proj"], rows.T @ rows, rtol=1e-3, atol=1e-3)
    assert set(found) == {
        *(f"self_attn.{name}_proj" for name in "qkvo"),
        *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
    }


def test_prune_layers_removes_those_of_least_influence(
    model: LoadedModel, held_out: Any, tmp_path: Path
) -> None:
    # A layer that adds nothing to what passes through it.
    module = writable(model)
    idle = 2
    with torch.no_grad():
        module.model.layers[idle].self_attn.o_proj.weight.mul_(1e-3)
        module.model.layers[idle].mlp.down_proj.weight.mul_(1e-3)
    lazy = transformed(model, module)
    influence = block_influence(module, held_out)
    assert least(influence, 1) == [idle]
    assert influence[idle] < 1e-3 < min(share for at, share in enumerate(influence) if at != idle)

    done = run("prune-layers(1)", lazy, tmp_path, texts())
    shape, before = (llama.shape_of(llama.folder_of(each)) for each in (done.model, lazy))
    assert shape == dataclasses.replace(before, layers=before.layers - 1)
    assert done.model.parameters == shape.parameters < lazy.parameters
    assert models.anatomy(done.model).macs < models.anatomy(lazy).macs
    assert perplexity(done.model, held_out) == pytest.approx(perplexity(lazy, held_out), rel=1e-2)
    assert "Removed 1 of 4 layers" in done.notes[0]
    assert f": {idle} (0.000)" in done.notes[0]
    # The one that was given is as it was.
    assert llama.shape_of(llama.folder_of(lazy)).layers == 4


def test_not_every_layer_can_go(model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="the model has 4 layers, of which at most 3 can go") as refused:
        run("prune-layers(4)", model, tmp_path, texts())
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_BAD_REQUEST


def test_prune_width_leaves_a_narrower_llama(model: LoadedModel, held_out: Any, tmp_path: Path) -> None:
    done = run("prune-width(0.5)", model, tmp_path, texts())
    shape = llama.shape_of(llama.folder_of(done.model))
    assert shape == dataclasses.replace(llama.shape_of(llama.folder_of(model)), intermediate=64)
    assert done.model.parameters == model.parameters - 4 * 3 * 64 * 64
    assert models.anatomy(done.model).macs < models.anatomy(model).macs
    assert perplexity(done.model, held_out) < 2 * perplexity(model, held_out)
    assert "64 of 128 channels (50.0% removed, 50.0% asked for" in done.notes[0]


def test_what_stays_takes_over(model: LoadedModel, held_out: Any) -> None:
    """Least squares beat leaving channels out, and importance beats the first ones."""
    module = writable(model)
    block = module.model.layers[0]
    with blocks.grams({"down": block.mlp.down_proj}) as found:
        blocks.entering(module, held_out).after(block)
    weight, gram = block.mlp.down_proj.weight.detach(), found["down"]
    kept = torch.topk(importance(weight, gram), 64).indices.sort().values

    def lost(columns: Any, left: Any) -> float:
        whole = torch.zeros_like(weight)
        whole[:, columns] = left
        change = (weight - whole).double()
        return float(torch.trace(change @ gram @ change.T))

    fitted = lost(kept, without_inputs(weight, gram, kept))
    assert fitted < lost(kept, weight[:, kept])
    assert lost(kept, weight[:, kept]) < lost(torch.arange(64), weight[:, :64])


def test_too_narrow_to_prune(tmp_path: Path) -> None:
    narrow = learning_llama.model(tmp_path / "narrow", intermediate_size=32, num_hidden_layers=1)
    with pytest.raises(ConversionError, match="have 32 channels, and widths are whole multiples of 32"):
        run("prune-width(0.5)", narrow, tmp_path, texts())


@pytest.mark.parametrize("with_text", [False, True])
def test_low_rank_is_of_that_rank_and_no_smaller(
    with_text: bool, model: LoadedModel, held_out: Any, tmp_path: Path
) -> None:
    call = "low-rank(r=12,epochs=1,lr=0.002,batch=4)" if with_text else "low-rank(r=12,epochs=0)"
    done = run(call, model, tmp_path, texts() if with_text else None)
    assert done.model.parameters == model.parameters
    state = llama.load_module(llama.folder_of(done.model)).state_dict()
    dense = [each for name, each in state.items() if name.endswith("proj.weight")]
    assert len(dense) == 28
    for each in dense:
        values = torch.linalg.svdvals(each.double())
        assert values[12] < 1e-5 * values[0], each.shape
    assert "the file is as large and as fast as without this step" in done.notes[0]
    before = sum(each.numel() for each in dense)
    after = sum(12 * sum(each.shape) for each in dense)
    assert f"{before:,} weights of dense layers would be {after:,}" in done.notes[0]
    assert perplexity(done.model, held_out) < (6 if with_text else learning_llama.VOCABULARY)


def test_ranks_are_cut_where_outputs_change_least() -> None:
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(24, 32, generator=random)
    # A few directions of the inputs are far larger than the others.
    inputs = torch.randn(500, 32, generator=random) * torch.logspace(1, -2, 32)
    gram = (inputs.T @ inputs).double()

    def lost(inner: Any, outer: Any) -> float:
        return float(((inputs @ (weight - outer @ inner).T) ** 2).sum())

    assert lost(*truncated(weight, 8, gram)) < 0.5 * lost(*truncated(weight, 8))
    inner, outer = truncated(weight, 24)
    torch.testing.assert_close(outer @ inner, weight, rtol=1e-4, atol=1e-4)


def test_no_rank_is_small_enough(model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no dense layer gets smaller"):
        run("low-rank(r=60,epochs=0)", model, tmp_path)


@pytest.mark.parametrize(
    ("call", "share"),
    [
        ("prune(0.5,epochs=0)", 0.5),
        ("prune(0.5,epochs=1,lr=0.001,batch=8)", 0.5),
        ("prune(2:4,epochs=1,lr=0.001,batch=8)", 0.5),
    ],
)
def test_pruned_weights_are_zero_and_gain_nothing(
    call: str, share: float, model: LoadedModel, held_out: Any, tmp_path: Path
) -> None:
    trained = "epochs=0" not in call
    done = run(call, model, tmp_path, texts() if trained else None)
    state = llama.load_module(llama.folder_of(done.model)).state_dict()
    for name, each in state.items():
        if name.endswith("proj.weight"):
            assert float((each == 0).double().mean()) == pytest.approx(share, abs=0.01), name
            if "2:4" in call:
                assert bool(((each.reshape(-1, 4) != 0).sum(dim=1) <= 2).all())
    assert done.model.parameters == model.parameters
    assert any("no GGUF smaller" in note for note in done.notes)
    assert done.epochs == (1 if trained else 0)
    assert perplexity(done.model, held_out) < 4 * perplexity(model, held_out)


def test_masks_by_row_and_by_group() -> None:
    scores = np.array([[1.0, 2.0, 3.0, 4.0], [50.0, 60.0, 70.0, 80.0]])
    assert mask(scores, 0.5, by_row=True).tolist() == [[False, False, True, True]] * 2
    assert mask(scores, 0.5, by_row=False).tolist() == [[False] * 4, [True] * 4]
    assert mask(scores, Ratio(1, 4), by_row=True).tolist() == [[False, True, True, True]] * 2
    with pytest.raises(ConversionError, match="a layer has 4 inputs only"):
        mask(scores, Ratio(4, 8), by_row=True)


@pytest.mark.parametrize("call", ["prune-layers(1)", "prune-width(0.5)", "lora(8)", "prune(0.5)"])
def test_text_of_another_tokenizer_is_refused(call: str, model: LoadedModel, tmp_path: Path) -> None:
    windows = texts(4).inputs[0].copy()
    windows[1, 7] = learning_llama.VOCABULARY
    with pytest.raises(ConversionError, match="holds token 320, and the model knows 0 to 319") as refused:
        run(call, model, tmp_path, Samples(inputs=(windows,)))
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH


@pytest.mark.parametrize("call", ["prune-layers(1)", "prune-width(0.5)", "lora(4,steps=4)"])
def test_what_is_left_is_a_plain_llama(call: str, model: LoadedModel, held_out: Any, tmp_path: Path) -> None:
    """llama.cpp reads it, and says of the text what torch says."""
    done = run(call, model, tmp_path / "checkpoint", texts())
    asked = Encoding(
        precision=Precision.FLOAT32,
        input_shapes=((learning_llama.WINDOW,),),
        calibration=(),
        work_dir=tmp_path,
    )
    (outputs,) = GGUF().open(GGUF().encode(done.model, asked)).run((held_out[:2],))
    (expected,) = models.predict(done.model, (held_out[:2],))
    np.testing.assert_allclose(outputs, expected, atol=5e-3)
    assert float(outputs.mean()) == pytest.approx(float(expected.mean()), rel=1e-4)
