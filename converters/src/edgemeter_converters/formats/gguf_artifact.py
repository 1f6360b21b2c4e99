"""A GGUF, loaded: run by llama.cpp, and once more by torch on what its weights stand for."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.formats.language_inputs import checked
from edgemeter_converters.formats.llama_cpp import LlamaCpp
from edgemeter_converters.models import gguf_names, llama, llama_gguf
from edgemeter_protos import token_windows

_FILE_NAME = "the artifact"

_BLOCK = 256

_IN_BLOCKS = {15: "Q4_K_M"}
"""gguf.LlamaFileType of mixtures whose every kind takes blocks of 256, by the name that recipes use."""


class GGUFArtifact:
    def __init__(self, content: bytes) -> None:
        folder = Path(tempfile.mkdtemp(prefix="edgemeter-gguf-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._path = folder / "model.gguf"
        self._path.write_bytes(content)
        self._reader = llama_gguf.opened(self._path, _FILE_NAME)
        self._shape = llama_gguf.shape_of(self._reader, _FILE_NAME)
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self.signature = token_windows.signature()
        self.parameters = self._shape.parameters

    @cached_property
    def non_zero_parameters(self) -> int:
        """Of what the file's blocks stand for."""
        return sum(
            int(np.count_nonzero(llama_gguf.weight(self._tensors, name, self._shape, _FILE_NAME)))
            for name in self._shape.tensors()
        )

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Which matrices are of which kind, and those that could not be of the kind that was asked for."""
        shapes = {gguf_names.gguf_name(name): size for name, size in self._shape.tensors().items()}
        matrices = {name: size for name, size in shapes.items() if len(size) == 2}
        kinds = {name: self._tensors[name].tensor_type.name for name in matrices}
        told = ", ".join(f"{count} {kind}" for kind, count in _counted(kinds.values()))
        notes = [f"Matrices in the file by llama.cpp's kinds: {told}."]
        asked = _IN_BLOCKS.get(int(self._reader.fields["general.file_type"].contents()))
        uncut = [name for name, size in matrices.items() if size[1] % _BLOCK]
        if asked and uncut:
            instead = ", ".join(
                f"{count} as {kind}" for kind, count in _counted(kinds[name] for name in uncut)
            )
            notes.append(
                f"{len(uncut)} of {len(matrices)} matrices fell back from {asked}, whose blocks take rows of "
                f"a multiple of {_BLOCK} numbers: llama.cpp wrote {instead}, which is larger."
            )
        return tuple(notes)

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Negative log-likelihoods by llama.cpp."""
        windows = checked(inputs, self._shape.vocabulary)
        return (self._llama_cpp.nll(windows).astype(np.float32),)

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """By torch, in float32; llama.cpp rounds what goes into quantized matrices to 8 bits."""
        (outputs,) = llama.predict(llama.folder_of(self._dequantized), inputs)
        return (outputs.astype(np.float32),)

    def run_layers(self, _inputs: Sequence[NDArray[Any]]) -> dict[str, tuple[str, NDArray[Any]]]:
        """None: llama.cpp shows no intermediate values."""
        return {}

    @cached_property
    def _llama_cpp(self) -> LlamaCpp:
        return LlamaCpp(self._path, token_windows.WINDOW_TOKENS)

    @cached_property
    def _dequantized(self) -> Any:
        return llama.made(lambda folder: llama_gguf.read(self._path, _FILE_NAME, folder))


def _counted(kinds: Any) -> list[tuple[str, int]]:
    return Counter(kinds).most_common()
