"""Hugging Face folders packed as .zip: read whatever way they were saved, refused where they are not safe."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

from edgemeter_converters import models
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import llama, llama_files, llama_rope, zipped
from edgemeter_protos.v1 import refusal_pb2
from tests import learning_llama

pytestmark = pytest.mark.needs_torch


@pytest.fixture(scope="module")
def module() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**learning_llama.SHAPE)).eval()


def saved(module: Any, folder: Path, **how: Any) -> Path:
    """As transformers saves it, with the tokenizer beside."""
    module.save_pretrained(folder, **how)
    learning_llama.tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def packed(folder: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{prefix}{file.name}")
    return path


@pytest.mark.parametrize(
    ("how", "prefix"),
    [
        pytest.param({}, "", id="one file"),
        pytest.param({"max_shard_size": "100KB"}, "", id="in parts"),
        pytest.param({}, "SmolLM2/", id="a folder down"),
    ],
)
def test_a_folder_is_read_as_transformers_does(
    module: Any, tmp_path: Path, how: dict[str, Any], prefix: str
) -> None:
    folder = saved(module, tmp_path / "saved", **how)
    loaded = models.load(packed(folder, tmp_path / "m.zip", prefix), "m.zip")
    windows = learning_llama.windows(2)
    ids = torch.from_numpy(windows.astype(np.int64))
    with torch.inference_mode():
        logits = module(ids).logits[:, :-1].transpose(1, 2)
        expected = torch.nn.functional.cross_entropy(logits, ids[:, 1:], reduction="none").numpy()
    np.testing.assert_allclose(models.predict(loaded, [windows])[0], expected, rtol=1e-5, atol=1e-5)
    assert loaded.parameters == sum(each.numel() for each in module.parameters())
    assert models.anatomy(loaded).non_zero_parameters == loaded.parameters


def test_bfloat16_becomes_float32(module: Any, tmp_path: Path) -> None:
    config = transformers.LlamaConfig(**learning_llama.SHAPE)
    half = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    half.load_state_dict(module.state_dict())
    loaded = models.load(packed(saved(half, tmp_path / "saved"), tmp_path / "m.zip"), "m.zip")
    exact, rounded = (each.lm_head.weight for each in (module, llama.load_module(llama.folder_of(loaded))))
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact.to(torch.bfloat16).float(), rtol=0, atol=0)


def test_packing_gives_the_same_bytes_and_the_same_model(module: Any, tmp_path: Path) -> None:
    loaded = models.load(packed(saved(module, tmp_path / "saved"), tmp_path / "m.zip"), "m.zip")
    models.predict(loaded, [learning_llama.windows(1)])
    for name in ("one", "two"):
        llama_files.pack(llama.folder_of(loaded), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = models.load(tmp_path / "one", "m.zip")
    assert (llama.folder_of(again) / llama.WEIGHTS).read_bytes() == (
        llama.folder_of(loaded) / llama.WEIGHTS
    ).read_bytes()


def test_the_folder_goes_with_the_model(module: Any, tmp_path: Path) -> None:
    loaded = models.load(packed(saved(module, tmp_path / "saved"), tmp_path / "m.zip"), "m.zip")
    folder = llama.folder_of(loaded)
    assert folder.exists()
    del loaded
    assert not folder.exists()


@pytest.mark.parametrize("framework", ["llama", "saved_model"])
def test_a_zip_is_told_by_what_it_holds(tmp_path: Path, framework: str) -> None:
    name = {"llama": "a/config.json", "saved_model": "saved_model.pb"}[framework]
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr(name, b"{}")
    assert zipped.framework_of(tmp_path / "m.zip") == framework


def with_member(path: Path, name: str, content: bytes = b"") -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content)


def changed(folder: Path, **config: Any) -> None:
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | config))


@pytest.mark.parametrize(
    ("change", "said", "reason"),
    [
        pytest.param(
            lambda folder: changed(folder, architectures=["BloomForCausalLM"]),
            r"m\.zip: it is of architecture 'BloomForCausalLM'; language models are read of LlamaForCausalLM",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="another architecture",
        ),
        pytest.param(
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            r"'pytorch_model\.bin' would need unpickling: save the model with .*safe_serialization",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="a pickle",
        ),
        pytest.param(
            lambda folder: (folder / "model.safetensors").unlink(),
            "it holds no .*safetensors",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="no weights",
        ),
        pytest.param(
            lambda folder: (folder / "tokenizer.json").unlink(),
            r"it has no tokenizer\.json: save the fast tokenizer",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="no tokenizer",
        ),
        pytest.param(
            lambda folder: (folder / "tokenizer.json").write_text("{}"),
            r"its tokenizer\.json can't be read",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="a broken tokenizer",
        ),
        pytest.param(
            lambda folder: (folder / "config.json").write_text("I am"),
            r"its config\.json can't be read",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="a broken configuration",
        ),
        pytest.param(
            lambda folder: (folder / "config.json").write_text("[]"),
            r"its config\.json is no object",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="a list for a configuration",
        ),
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 100),
            r"model\.safetensors can't be read",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="broken weights",
        ),
        pytest.param(
            lambda folder: changed(folder, num_hidden_layers=4),
            r"its weights lack model\.layers\.3\.input_layernorm\.weight and 8 more",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="a layer too few",
        ),
        pytest.param(
            lambda folder: changed(folder, num_hidden_layers=2),
            r"its weight 'model\.layers\.2\.\S+' has no place in a plain Llama",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="a layer too many",
        ),
        pytest.param(
            lambda folder: changed(folder, vocab_size=100),
            r"embed_tokens\.weight is of shape \[320, 64\], its config\.json says \(100, 64\)",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="another shape",
        ),
        pytest.param(
            lambda folder: changed(folder, hidden_size=1 << 20, vocab_size=1 << 20),
            "as float32, at most",
            refusal_pb2.REFUSAL_REASON_TOO_LARGE,
            id="absurdly large",
        ),
        pytest.param(
            lambda folder: (folder / "origin.json").write_text('{"notes": [7]}'),
            r"its origin\.json is none of edgemeter's",
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            id="another's origin",
        ),
    ],
)
def test_what_can_not_be_read_is_refused(
    module: Any, tmp_path: Path, change: Any, said: str, reason: int
) -> None:
    folder = saved(module, tmp_path / "saved")
    change(folder)
    with pytest.raises(ConversionError, match=said) as refused:
        models.load(packed(folder, tmp_path / "m.zip"), "m.zip")
    assert refused.value.reason == reason
    assert "\n" not in refused.value.message


def test_integers_for_weights_are_refused(module: Any, tmp_path: Path) -> None:
    folder = saved(module, tmp_path / "saved")
    state = {name: each.clone() for name, each in module.state_dict().items() if name != "lm_head.weight"}
    state["model.norm.weight"] = state["model.norm.weight"].to(torch.int8)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ConversionError, match=r"model\.norm\.weight is of I8, not of floats"):
        models.load(packed(folder, tmp_path / "m.zip"), "m.zip")


def test_what_leads_out_of_the_folder_is_refused(module: Any, tmp_path: Path) -> None:
    path = packed(saved(module, tmp_path / "saved"), tmp_path / "m.zip")
    with_member(path, "../evil.safetensors")
    with pytest.raises(ConversionError, match="leads out of the folder") as refused:
        models.load(path, "m.zip")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL


def test_what_unpacks_to_too_much_is_refused(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(saved(module, tmp_path / "saved"), tmp_path / "m.zip")
    monkeypatch.setattr(llama_files, "MAX_BYTES", 100_000)
    with pytest.raises(ConversionError, match="at most 100,000 are read") as refused:
        models.load(path, "m.zip")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_TOO_LARGE


def test_no_code_and_no_pickle_of_the_zip_is_ever_unpacked(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(saved(module, tmp_path / "saved"), tmp_path / "m.zip")
    with_member(path, "modeling_evil.py", b"raise SystemExit")
    with_member(path, "training_args.bin", b"evil")
    loaded = models.load(path, "m.zip")
    assert {each.name for each in llama.folder_of(loaded).iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }


def test_llama_3s_rotations_are_transformers_own() -> None:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config = transformers.LlamaConfig(
        **learning_llama.SHAPE | {"head_dim": 64, "max_position_embeddings": 131072},
        rope_parameters={**rope, "rope_theta": 500_000.0},
    )
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 500_000.0 ** -(np.arange(0, 64, 2) / 64)
    ours = plain / llama_rope.llama3_divisors(500_000.0, 64, rope)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5)
