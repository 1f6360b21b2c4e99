"""ONNX Runtime GenAI: language models as a folder that its builder made, on the processor."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemeter_agent.runtimes import language
from edgemeter_agent.runtimes.language import Tokens
from edgemeter_agent.runtimes.unpacking import unpacked
from edgemeter_protos import token_windows
from edgemeter_protos.token_windows import WINDOW_TOKENS
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, LoadOptions, RealArray

ARENA = "ONNX Runtime GenAI's Python API does not tell what its arenas hold"

CONFIG = "genai_config.json"


def loader(package: str) -> Callable[[str, LoadOptions], LoadedModel]:
    """Raises ImportError."""
    genai: Any = import_module(package)
    # A board that measures tells nobody else of it.
    if hasattr(genai, "disable_telemetry_events"):
        genai.disable_telemetry_events()

    def load(artifact_path: str, options: LoadOptions) -> LoadedModel:
        language.check_options("onnxruntime-genai", options)
        if options.generation is None:
            return GenaiWindows(genai, artifact_path, options.threads)
        return GenaiText(genai, artifact_path, options.generation, options.threads)

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


class _Context:
    """A model and one sequence of tokens that it looks back on."""

    ran_on = "CPUExecutionProvider"

    def __init__(self, genai: Any, artifact_path: str, *, tokens: int, threads: int) -> None:
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

    def forget_from(self, position: int) -> None:
        self._generator.rewind_to(position)

    def run(self, tokens: Tokens) -> None:
        """Its own `generate_next_token` ends at an end-of-text, and runs a token at the next call only:
        so the likeliest token is found here and appended, which runs it at once. It takes as long, and gives
        the same tokens."""
        self._generator.append_tokens(tokens)

    def likeliest(self) -> int:
        return int(self._generator.get_logits().argmax())

    def logits(self) -> language.Logits:
        """After each token of the last run."""
        every: language.Logits = np.asarray(self._generator.get_output("logits"), np.float32)[0]
        return every


class GenaiWindows:
    """A query is the negative log-likelihoods of the prepared windows, each from an empty context."""

    def __init__(self, genai: Any, artifact_path: str, threads: int) -> None:
        self.signature = token_windows.signature()
        self._context = _Context(genai, artifact_path, tokens=WINDOW_TOKENS, threads=threads)
        self.ran_on = self._context.ran_on
        self._windows: Tokens = np.zeros((0, WINDOW_TOKENS), np.int32)
        self._nll: RealArray = np.zeros((0, WINDOW_TOKENS - 1), np.float32)

    def arena_bytes(self) -> int | None:
        return None

    def prepare(self, inputs: Sequence[Array]) -> None:
        self._windows = language.windows_of(inputs, self._context.vocabulary)
        self._nll = np.zeros((len(self._windows), WINDOW_TOKENS - 1), np.float32)

    def query(self) -> None:
        for window, nll in zip(self._windows, self._nll, strict=True):
            self._context.forget_from(0)
            for at, tokens in language.chunks(window):
                self._context.run(tokens)
                following = window[at + 1 : at + 1 + len(tokens)]
                logits = self._context.logits()
                nll[at : at + len(following)] = token_windows.negative_log_likelihood(logits, following)

    def outputs(self) -> list[RealArray]:
        return [self._nll.copy()]


class GenaiText:
    """A `TextModel`."""

    def __init__(
        self, genai: Any, artifact_path: str, generation: variant_pb2.Generation, threads: int
    ) -> None:
        """Raises ValueError, one line, for a generation that this model can't write."""
        size = language.context_tokens(generation)
        self.signature = language.text_signature(generation)
        self.first_token_ns = 0
        self._context = _Context(genai, artifact_path, tokens=size, threads=threads)
        self.ran_on = self._context.ran_on
        self._prompt = language.checked_tokens(generation.prompt_ids, self._context.vocabulary)
        self._written = np.zeros(generation.new_tokens, np.int32)
        self._next = np.zeros(1, np.int32)
        # Decoded since the prompt.
        self._decoded = 0

    def arena_bytes(self) -> int | None:
        return None

    def prepare(self, inputs: Sequence[Array]) -> None:
        language.nothing_to_prepare(inputs)

    def query(self) -> None:
        begin_ns = time.perf_counter_ns()
        context, written, following = self._context, self._written, self._next
        context.forget_from(0)
        context.run(self._prompt)
        following[0] = written[0] = context.likeliest()
        self.first_token_ns = time.perf_counter_ns() - begin_ns
        for number in range(1, len(written)):
            context.run(following)
            following[0] = written[number] = context.likeliest()
        self._decoded = len(written) - 1

    def decode(self) -> None:
        if self._decoded >= max(len(self._written) - 1, 1):
            self._context.forget_from(len(self._prompt))
            self._decoded, self._next[0] = 0, self._written[0]
        self._context.run(self._next)
        self._next[0] = self._context.likeliest()
        self._decoded += 1

    def outputs(self) -> list[RealArray]:
        return [self._written[None].astype(np.float32)]
