"""llama.cpp's C functions, through the ctypes bindings of whichever Python package brings it.

Two packages do: llama-cpp-python, built from llama.cpp, and ik-llama-cpp-python, whose wheel is of a fork
(ik_llama.cpp) that kept names which llama.cpp has given up. Their high-level classes differ, print, and take
longer around a token than a small model does; so only functions and structures are used.
"""

from __future__ import annotations

import ctypes
import weakref
from importlib import import_module
from typing import Any

import numpy as np

from edgemeter_agent.runtimes.language import Logits, Tokens

ERROR = 4
"""GGML_LOG_LEVEL_ERROR."""

USUAL_UBATCH = 512
"""llama.cpp's own: of a longer prompt so many tokens go through the model at once."""

LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

BINDINGS = {"llama_cpp": "llama_cpp.llama_cpp", "ik_llama_cpp": "ik_llama_cpp._ctypes_api"}
"""Module with the functions and structures, by import package."""


class Library:
    """llama.cpp, loaded once in a process. What it has to say is kept, not printed."""

    def __init__(self, package: str) -> None:
        """Raises ImportError."""
        self.bindings: Any = import_module(BINDINGS[package])
        self._errors: list[str] = []
        # Must live as long as the library.
        self._callback = LogCallback(self._logged)
        c = self.bindings
        shared: ctypes.CDLL = c._lib
        log_set = shared.llama_log_set
        log_set.argtypes, log_set.restype = [LogCallback, ctypes.c_void_p], None
        log_set(self._callback, None)
        self._forget = _forget(shared)
        self.logits = shared.llama_get_logits
        # An address: a typed pointer would be made anew each time, and an array of it too.
        self.logits.argtypes, self.logits.restype = [ctypes.c_void_p], ctypes.c_void_p
        self.free_model = getattr(c, "llama_model_free", None) or c.llama_free_model
        c.llama_backend_init()

    def _logged(self, level: int, text: bytes, _data: object) -> None:
        if level == ERROR:
            self._errors.append(text.decode(errors="replace").strip())

    def forget_from(self, context: int, position: int) -> bool:
        """Drops a context's tokens from a position on; False where its memory can't be cut there."""
        return bool(self._forget(context, position))

    def complaint(self, otherwise: str) -> str:
        """What went wrong most recently, in llama.cpp's own words, or `otherwise`."""
        said, self._errors = self._errors, []
        return said[0].rpartition("error loading model: ")[2] if said else otherwise


def _forget(shared: ctypes.CDLL) -> Any:
    """(context, position) -> whether it could; llama.cpp keeps it in a memory of its own, the fork in the
    context."""
    if hasattr(shared, "llama_memory_seq_rm"):
        memory, remove = shared.llama_get_memory, shared.llama_memory_seq_rm
        memory.argtypes, memory.restype = [ctypes.c_void_p], ctypes.c_void_p
    else:
        memory, remove = None, shared.llama_kv_cache_seq_rm
    remove.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]
    remove.restype = ctypes.c_bool
    if memory is None:
        return lambda context, position: remove(context, 0, position, -1)
    return lambda context, position: remove(memory(context), 0, position, -1)


class Context:
    """A model and one sequence of tokens that it looks back on, on the processor."""

    def __init__(self, library: Library, path: str, *, tokens: int, batch: int, threads: int) -> None:
        """`tokens` fit into the context, and `batch` of them go through the model at once. Raises ValueError,
        one line, in llama.cpp's words."""
        c = library.bindings
        self._library = library
        settings = c.llama_model_default_params()
        settings.n_gpu_layers = 0
        model = c.llama_model_load_from_file(str(path).encode(), settings)
        if not model:
            raise ValueError(library.complaint("llama.cpp can't load it"))
        weakref.finalize(self, library.free_model, model)
        self.vocabulary: int = c.llama_vocab_n_tokens(c.llama_model_get_vocab(model))
        self._context = c.llama_init_from_model(model, _context_settings(c, tokens, batch, threads))
        if not self._context:
            raise ValueError(library.complaint(f"llama.cpp can't make a context of {tokens} tokens"))
        # Finalizers are called the last one first.
        weakref.finalize(self, c.llama_free, self._context)
        self._batch = c.llama_batch_init(batch, 0, 1)
        weakref.finalize(self, c.llama_batch_free, self._batch)
        for place in range(batch):
            self._batch.n_seq_id[place] = 1
            self._batch.seq_id[place][0] = 0
        as_array = np.ctypeslib.as_array
        self._tokens = as_array(self._batch.token, (batch,))
        self._positions = as_array(self._batch.pos, (batch,))
        self._wanted = as_array(self._batch.logits, (batch,))
        # Of the next token: so many are held.
        self._position = 0
        self._seen: dict[tuple[int, int], Logits] = {}

    def forget_from(self, position: int) -> None:
        """Raises RuntimeError for a model whose memory can't be cut there."""
        if not self._library.forget_from(self._context, position):
            raise RuntimeError(f"this model's memory can't be rolled back to token {position}")
        self._position = position

    def logits(self, tokens: Tokens) -> Logits:
        """After every token: float32 [tokens, vocabulary], in the library's memory until the next run."""
        self._place(tokens, wanted=True)
        return self._run(len(tokens), len(tokens))

    def likeliest(self, tokens: Tokens) -> int:
        self._place(tokens, wanted=False)
        self._wanted[len(tokens) - 1] = True
        return int(self._run(len(tokens), 1)[0].argmax())

    def likeliest_after_one(self, token: int) -> int:
        self._tokens[0], self._positions[0], self._wanted[0] = token, self._position, 1
        return int(self._run(1, 1)[0].argmax())

    def _place(self, tokens: Tokens, *, wanted: bool) -> None:
        """Puts tokens into the batch; `wanted`: whether with logits after each."""
        count = len(tokens)
        self._tokens[:count] = tokens
        self._positions[:count] = np.arange(self._position, self._position + count)
        self._wanted[:count] = wanted

    def _run(self, count: int, rows: int) -> Logits:
        self._batch.n_tokens = count
        code = self._library.bindings.llama_decode(self._context, self._batch)
        if code:
            raise RuntimeError(self._library.complaint(f"llama_decode gave {code} for {count} tokens"))
        self._position += count
        place = (self._library.logits(self._context), rows)
        logits = self._seen.get(place)
        if logits is None:
            held = (ctypes.c_float * (rows * self.vocabulary)).from_address(place[0])
            logits = np.ctypeslib.as_array(held).reshape(rows, self.vocabulary)
            # Few: the library moves its buffer when it grows.
            self._seen[place] = logits
        return logits


def _context_settings(c: Any, tokens: int, batch: int, threads: int) -> Any:
    settings = c.llama_context_default_params()
    settings.n_ctx = tokens
    settings.n_batch = batch
    settings.n_ubatch = min(batch, USUAL_UBATCH)
    settings.n_threads = settings.n_threads_batch = threads
    settings.offload_kqv = False
    # The fork's asserts on long prompts where the processor lacks AVX-VNNI, and ends the process.
    if hasattr(settings, "flash_attn"):
        settings.flash_attn = False
    # llama.cpp's would run large batches on a GPU though no layer was asked to be there.
    if hasattr(settings, "op_offload"):
        settings.op_offload = False
    return settings
