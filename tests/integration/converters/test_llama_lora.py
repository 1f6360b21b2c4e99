"""Low-rank adaptation: the text is learned, what is merged is what was learned, the adapter is kept."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from safetensors import safe_open

from edgemeter_converters import models
from edgemeter_converters.compress.llama.lora import METADATA_KEY, adapted_layers
from edgemeter_converters.datasets import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import llama
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.training import checkpoint
from edgemeter_converters.training import llama as training
from edgemeter_protos.token_windows import negative_log_likelihood
from edgemeter_protos.v1 import refusal_pb2
from tests.integration.converters.llama_nets import other_text, perplexity, run, taught

pytestmark = pytest.mark.needs_torch

CALL = "lora(4,alpha=8,steps=24,lr=0.01)"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return taught(tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="module")
def new_text() -> Samples:
    """Which the model has not learned."""
    return Samples(inputs=(other_text(24),))


@pytest.fixture(scope="module")
def done(model: LoadedModel, new_text: Samples, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(CALL, model, tmp_path_factory.mktemp("lora"), new_text)


def test_perplexity_falls_on_text_that_it_was_taught(model: LoadedModel, done: Any) -> None:
    unseen = other_text(6, seed=11)
    before, after = perplexity(model, unseen), perplexity(done.model, unseen)
    assert after < before / 3
    assert done.last_loss < done.first_loss
    # 24 steps of 4 windows are four rounds of 24.
    assert done.epochs == 4
    assert done.model.parameters == model.parameters


# peft asks transformers by a name that is about to change.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_merged_is_what_the_adapter_gives(model: LoadedModel, done: Any, tmp_path: Path) -> None:
    """The adapter's file alone, loaded by peft beside the original's weights."""
    (left,) = done.files
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(left.content)
    with safe_open(path, framework="pt") as file:
        configuration = json.loads(file.metadata()[METADATA_KEY])
        weights = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    assert (configuration["r"], configuration["lora_alpha"]) == (4, 8)
    (tmp_path / "adapter_config.json").write_text(json.dumps(configuration))
    adapted = peft.PeftModel.from_pretrained(llama.load_module(llama.folder_of(model)), str(tmp_path)).eval()
    windows = other_text(4, seed=12)
    with torch.inference_mode():
        logits = adapted(input_ids=torch.from_numpy(windows.astype(np.int64)), use_cache=False).logits
    beside = np.stack(
        [negative_log_likelihood(each, ids[1:]) for each, ids in zip(logits.numpy(), windows, strict=True)]
    )
    (merged,) = models.predict(done.model, (windows,))
    assert np.abs(merged - beside).max() < 1e-4
    assert len(left.content) == path.stat().st_size > 4 * weights
    assert len(left.content) < 0.5 * (llama.folder_of(model) / llama.WEIGHTS).stat().st_size
    assert f"{weights:,} weights in 28 layers" in done.notes[0]


def test_it_repeats_itself(model: LoadedModel, new_text: Samples, done: Any, tmp_path: Path) -> None:
    again = run(CALL, model, tmp_path / "again", new_text)
    other = run(CALL.replace(")", ",seed=77)"), model, tmp_path / "other", new_text)
    digests = [hashlib.sha256(each.files[0].content).digest() for each in (done, again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_only_targets_are_adapted(model: LoadedModel, new_text: Samples, tmp_path: Path) -> None:
    few = run("lora(4,steps=2,targets=q_proj|*.1.mlp.up_proj)", model, tmp_path, new_text)
    before, after = (llama.load_module(llama.folder_of(each)).state_dict() for each in (model, few.model))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        "model.layers.1.mlp.up_proj.weight",
        *(f"model.layers.{number}.self_attn.q_proj.weight" for number in range(4)),
    }


LAYERS = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"]


@pytest.mark.parametrize(
    ("targets", "chosen"),
    [
        ((), LAYERS),
        (("all-linear",), LAYERS),
        (("q_proj",), LAYERS[:1]),
        (("*down*",), LAYERS[1:]),
        (("model.layers.1.*", "q_proj"), [LAYERS[0], LAYERS[2]]),
    ],
)
def test_targets(targets: tuple[str, ...], chosen: list[str]) -> None:
    assert adapted_layers(LAYERS, targets) == chosen


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "q_prj",
            "targets=q_prj: no dense layer is called so: did you mean 'q_proj'? there are q_proj, down_proj",
        ),
        (
            "lm_head",
            "targets=lm_head: no dense layer is called so: there are q_proj, down_proj, or all-linear",
        ),
    ],
)
def test_targets_that_there_are_not(target: str, said: str) -> None:
    with pytest.raises(ConversionError) as refused:
        adapted_layers(LAYERS, ("q_proj", target))
    assert said in refused.value.message
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_BAD_REQUEST


class Interrupted(Exception):
    """What a killed worker looks like from inside."""


def test_interrupted_training_ends_where_it_would_have(
    model: LoadedModel, new_text: Samples, done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0.0)
    told: list[str] = []

    def fails_in_the_tenth_step(_share: float, words: str) -> None:
        told.append(words)
        if "step 10 " in words:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(CALL, model, tmp_path, new_text, fails_in_the_tenth_step)
    assert (tmp_path / checkpoint.FILE_NAME).exists()
    told.clear()
    resumed = run(CALL, model, tmp_path, new_text, lambda _share, words: told.append(words))
    assert told[0].startswith("fine-tuning, step 10 of 24")
    assert resumed.files[0].content == done.files[0].content
    assert (resumed.first_loss, resumed.last_loss) == (done.first_loss, done.last_loss)

    # A checkpoint of another run is not taken up.
    other = run(CALL.replace("24", "12"), model, tmp_path, new_text)
    assert "A checkpoint of fine-tuning with other settings was ignored" in other.notes[0]


def test_a_rate_that_is_too_high_is_told(model: LoadedModel, new_text: Samples, tmp_path: Path) -> None:
    worse = run("lora(4,steps=10,lr=10,alpha=1000)", model, tmp_path, new_text)
    assert worse.last_loss is not None
    assert worse.first_loss is not None
    assert worse.last_loss > worse.first_loss
    assert any("the loss rose from" in note and "lower lr=10" in note for note in worse.notes)
