"""llama.cpp, as ik-llama-cpp-python's shared library, scoring texts. For conversion workers only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.token_windows import negative_log_likelihood

_THREADS = 1
"""A worker is one thread."""


class LlamaCpp:
    """A GGUF in llama.cpp, with a memory for one window of tokens."""

    def __init__(self, path: Path, window_tokens: int) -> None:
        """Raises ConversionError where llama.cpp does not take the file."""
        from ik_llama_cpp import _ctypes_api as api

        self._api = api
        api.llama_backend_init()
        options = api.llama_model_default_params()
        options.n_gpu_layers = 0
        self._model = api.llama_model_load_from_file(str(path).encode(), options)
        if not self._model:
            raise ConversionError("llama.cpp can't load the GGUF that was written")
        self._tokens = window_tokens
        context = api.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = window_tokens
        context.n_threads = context.n_threads_batch = _THREADS
        context.logits_all = True
        # ik-llama-cpp-python leaves it out too where a processor has no AVX-VNNI: its kernels give up there.
        context.flash_attn = False
        self._context = api.llama_init_from_model(self._model, context)
        if not self._context:
            self.close()
            raise ConversionError("llama.cpp can't make a context for the GGUF that was written")
        self._vocabulary = int(api.llama_vocab_n_tokens(api.llama_model_get_vocab(self._model)))

    def nll(self, windows: NDArray[Any]) -> NDArray[np.float64]:
        """Negative log-likelihood in nats, (windows, tokens - 1); each window begins with nothing before it.

        Args:
            windows: token ids, (windows, tokens).
        """
        return np.stack([negative_log_likelihood(self._logits(window), window[1:]) for window in windows])

    def close(self) -> None:
        if getattr(self, "_context", None):
            self._api.llama_free(self._context)
            self._context = None
        if getattr(self, "_model", None):
            self._api.llama_free_model(self._model)
            self._model = None

    def __del__(self) -> None:
        self.close()

    def _logits(self, window: Sequence[int]) -> NDArray[np.float32]:
        api = self._api
        api.llama_kv_cache_clear(self._context)
        batch = api.llama_batch_init(len(window), 0, 1)
        try:
            batch.n_tokens = len(window)
            for at, token in enumerate(window):
                batch.token[at], batch.pos[at] = int(token), at
                batch.n_seq_id[at], batch.seq_id[at][0], batch.logits[at] = 1, 0, 1
            status = api.llama_decode(self._context, batch)
            if status != 0:
                raise ConversionError(f"llama.cpp could not read a window of tokens (status {status})")
            rows = [
                np.ctypeslib.as_array(api.llama_get_logits_ith(self._context, at), shape=(self._vocabulary,))
                for at in range(len(window))
            ]
            return np.stack(rows)
        finally:
            api.llama_batch_free(batch)
