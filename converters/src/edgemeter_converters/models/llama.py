"""Language models of the Llama family, out of a GGUF or out of a Hugging Face folder packed as a .zip.

Either becomes a folder: `config.json`, `model.safetensors` (float32, each tensor once), `tokenizer.json`, and
`origin.json`, which keeps what the other three can't tell. It lives as long as the model.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.models import llama_anatomy, llama_shape
from edgemeter_converters.models.llama_shape import LlamaShape
from edgemeter_converters.models.model import Anatomy, LoadedModel
from edgemeter_protos import token_windows
from edgemeter_protos.v1 import variant_pb2

CONFIG, WEIGHTS, TOKENIZER, ORIGIN = "config.json", "model.safetensors", "tokenizer.json", "origin.json"

KEPT = (CONFIG, WEIGHTS, TOKENIZER, ORIGIN)
"""What makes the model; whatever else is in its folder follows from these."""


def load(path: Path, file_name: str) -> LoadedModel:
    """The model in a .gguf, or in a .zip that has a config.json.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    # They read into a folder that this module knows, so not above.
    from edgemeter_converters.models import llama_files, llama_gguf

    read = llama_gguf.read if Path(file_name).suffix.lower() == ".gguf" else llama_files.read
    return made(lambda folder: read(path, file_name, folder))


def made(write: Callable[[Path], None]) -> LoadedModel:
    """The model that `write` puts into a folder, which is removed with the model."""
    folder = Path(tempfile.mkdtemp(prefix="edgemeter-llama-"))
    try:
        write(folder)
        model = of_folder(folder)
    except BaseException:
        shutil.rmtree(folder)
        raise
    weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
    return model


def of_folder(folder: Path) -> LoadedModel:
    """A folder as this module keeps it, as a model; it stays where it is."""
    shape = shape_of(folder)
    return LoadedModel(
        framework="llama",
        network=folder,
        signature=token_windows.signature(),
        parameters=shape.parameters,
        notes=tuple(origin_of(folder).get("notes", ())),
    )


def folder_of(model: LoadedModel) -> Path:
    """Of a model of this framework."""
    if model.framework != "llama" or not isinstance(model.network, Path):
        raise TypeError(f"a {model.framework} model is no llama model")
    return model.network


def shape_of(folder: Path) -> LlamaShape:
    return llama_shape.from_config(json.loads((folder / CONFIG).read_text(encoding="utf-8")), CONFIG)


def origin_of(folder: Path) -> dict[str, Any]:
    """What the original file said beside the model.

    `notes`: sentences for whoever reads of a variant. `gguf_tokenizer`: the GGUF's own metadata of its
    tokenizer, as `llama_gguf` reads it; absent where the model came from no GGUF.
    """
    path = folder / ORIGIN
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def load_module(folder: Path) -> Any:
    """The model as transformers' `LlamaForCausalLM`, float32, in evaluation mode."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    module = transformers.LlamaForCausalLM.from_pretrained(
        str(folder), dtype="float32", local_files_only=True, use_safetensors=True
    )
    return module.eval()


def save_module(module: Any, folder: Path, tokenizer_from: Path) -> None:
    """Writes a `LlamaForCausalLM` into an empty folder, as float32; the same bytes for the same numbers.

    Args:
        tokenizer_from: a folder of this module's, whose tokenizer and origin go along.

    Raises:
        ConversionError: its configuration is none of a plain Llama's.
    """
    shape = llama_shape.from_config({**module.config.to_dict(), "quantization_config": None}, CONFIG)
    state = module.state_dict()
    write_weights(folder, shape, lambda name: state[name])
    for name in (TOKENIZER, ORIGIN):
        if (tokenizer_from / name).exists():
            shutil.copyfile(tokenizer_from / name, folder / name)


def write_weights(folder: Path, shape: LlamaShape, tensor: Callable[[str], Any]) -> None:
    """Writes `config.json` and `model.safetensors`.

    Args:
        tensor: the torch tensor of a name; of any kind of floats.
    """
    import torch
    from safetensors.torch import save_file

    (folder / CONFIG).write_text(json.dumps(shape.config(), indent=1), encoding="utf-8")
    weights = {}
    for name, size in shape.tensors().items():
        found = tensor(name).detach().to(torch.float32).contiguous()
        if tuple(found.shape) != size:
            raise ValueError(f"{name} is of shape {tuple(found.shape)}, its configuration says {size}")
        weights[name] = found
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def random_windows(model: LoadedModel, count: int, random: np.random.RandomState) -> NDArray[np.int32]:
    """(count, WINDOW_TOKENS) of ids that it knows, in no order that makes sense."""
    vocabulary = shape_of(folder_of(model)).vocabulary
    return random.randint(0, vocabulary, size=(count, token_windows.WINDOW_TOKENS)).astype(np.int32)


def predict(network: Path, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """Negative log-likelihood in nats, float64, (windows, tokens - 1), by torch in float32.

    Kept beside the model: each of its variants is held against the same, and a window takes seconds.
    """
    (windows,) = inputs
    told = hashlib.sha256(np.ascontiguousarray(windows, dtype="<i4").data).hexdigest()
    kept = network / f"nll-{told[:16]}.npy"
    if not kept.exists():
        np.save(kept, _nll(network, windows), allow_pickle=False)
    return (np.load(kept, allow_pickle=False),)


def _nll(network: Path, windows: NDArray[Any]) -> NDArray[np.float64]:
    import torch

    module = load_module(network)
    rows = []
    with torch.inference_mode():
        for window in windows:
            ids = torch.from_numpy(np.array(window, dtype=np.int64))[None]
            logits = module(input_ids=ids, use_cache=False).logits[0].numpy()
            rows.append(token_windows.negative_log_likelihood(logits, window[1:]))
    return np.stack(rows)


def anatomy(network: Path, _signature: variant_pb2.Signature) -> Anatomy:
    """Layers by kind; multiply-accumulates are those of one token."""
    return llama_anatomy.anatomy(shape_of(network), network / WEIGHTS)
