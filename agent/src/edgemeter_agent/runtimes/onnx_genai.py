"""ONNX Runtime GenAI: language models as a folder that its builder made, on the processor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemeter_agent.runtimes import language, language_models
from edgemeter_agent.runtimes.language import Logits, Tokens
from edgemeter_agent.runtimes.unpacking import unpacked

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import LoadedModel, LoadOptions

ARENA = "ONNX Runtime GenAI's Python API does not tell what its arenas hold"

CONFIG = "genai_config.json"

RAN_ON = "CPUExecutionProvider"


def loader(package: str) -> Callable[[str, LoadOptions], LoadedModel]:
    """Raises ImportError."""
    genai: Any = import_module(package)
    # A board that measures tells nobody else of it.
    if hasattr(genai, "disable_telemetry_events"):
        genai.disable_telemetry_events()

    def load(artifact_path: str, options: LoadOptions) -> LoadedModel:
        language.check_options("onnxruntime-genai", options)
        make_context = partial(Context, genai, artifact_path, threads=options.threads)
        return language_models.loaded(make_context, options, RAN_ON)

    return load


def model_folder(artifact: Path) -> Path:
    """Of a folder, or of the .zip of one: where its configuration lies. Raises ValueError, one line."""
    root = artifact if artifact.is_dir() else unpacked(artifact)
    found = sorted(path for path in (root / CONFIG, *root.glob(f"*/{CONFIG}")) if path.is_file())
    if len(found) != 1:
        raise ValueError(f"{artifact.name} has {len(found)} files {CONFIG}; a model's folder has one")
    return found[0].parent


def read_config(folder: Path) -> dict[str, Any]:
    """Raises ValueError, one line, for what is no configuration, or one that names code or files elsewhere:
    who runs a model need not trust it."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        vocabulary = config["model"]["vocab_size"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{CONFIG} is no model's configuration: {error!r}") from None
    if not isinstance(vocabulary, int):
        raise ValueError(f"{CONFIG} gives {vocabulary!r} for vocab_size, which is no number")
    for key, value in _entries(config):
        if "library" in key:
            raise ValueError(f"{CONFIG} asks for a library to be loaded ({key}): a model brings no code here")
        if key == "filename" and PurePath(str(value)).name != value:
            raise ValueError(f"{CONFIG} names {value!r}, which is no file of the model's folder")
    held: dict[str, Any] = config
    return held


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values of nested objects."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key), each
            yield from _entries(each)
    elif isinstance(value, list):
        for each in value:
            yield from _entries(each)


class Context:
    """A model and one sequence of tokens that it looks back on, on the processor."""

    def __init__(
        self,
        genai: Any,
        artifact_path: str,
        *,
        threads: int,
        tokens: int,
        batch: int,  # noqa: ARG002
    ) -> None:
        """`tokens` fit into the context, and any number of them goes through the model at once. Raises
        ValueError, one line."""
        folder = model_folder(Path(artifact_path))
        self.vocabulary: int = read_config(folder)["model"]["vocab_size"]
        config = genai.Config(str(folder))
        config.clear_providers()
        session = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
        model = genai.Model(config)
        settings = genai.GeneratorParams(model)
        # Buffers for keys and values are made for so many.
        settings.set_search_options(max_length=tokens, do_sample=False, num_beams=1, batch_size=1)
        self._generator = genai.Generator(model, settings)
        self._one = np.zeros(1, np.int32)

    def forget_from(self, position: int) -> None:
        self._generator.rewind_to(position)

    def logits(self, tokens: Tokens) -> Logits:
        self._generator.append_tokens(tokens)
        every: Logits = np.asarray(self._generator.get_output("logits"), np.float32)[0]
        return every

    def likeliest(self, tokens: Tokens) -> int:
        """The library's own `generate_next_token` ends at an end-of-text, and runs a token at the next call
        only: so the likeliest token is found here and appended, which runs it at once. It takes as long, and
        gives the same tokens."""
        self._generator.append_tokens(tokens)
        return int(self._generator.get_logits().argmax())

    def likeliest_after_one(self, token: int) -> int:
        self._one[0] = token
        return self.likeliest(self._one)
