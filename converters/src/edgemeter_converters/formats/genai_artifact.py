"""A language model's folder for onnxruntime-genai, out of its .zip, loaded."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.formats.language_inputs import checked
from edgemeter_protos import token_windows

CONFIG, GRAPH = "genai_config.json", "model.onnx"

_PACKED = "MatMulNBits"

_IN_FLOAT = 1
"""`accuracy_level` of MatMulNBits, com.microsoft: what is multiplied stays float32."""

_CACHES = ("cos_cache", "sin_cache")
"""Tables that follow from the shape, no weights."""


class GenaiArtifact:
    notes: tuple[str, ...] = ()

    def __init__(self, content: bytes) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="edgemeter-genai-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # Ours: packed by `onnx_genai.pack` in this or an earlier build.
            archive.extractall(self._folder)
        config = json.loads((self._folder / CONFIG).read_text(encoding="utf-8"))
        self._vocabulary = int(config["model"]["vocab_size"])
        self.signature = token_windows.signature()

    @property
    def parameters(self) -> int:
        return self._weights[0]

    @property
    def non_zero_parameters(self) -> int:
        """Of what the blocks stand for."""
        return self._weights[1]

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Negative log-likelihoods by onnxruntime-genai."""
        return (_score(self._folder, checked(inputs, self._vocabulary)),)

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """By other kernels: those that round nothing to 8 bits before they multiply."""
        import onnx

        windows = checked(inputs, self._vocabulary)
        with tempfile.TemporaryDirectory(prefix="edgemeter-genai-", dir=self._folder.parent) as made:
            folder = Path(made)
            for file in self._folder.iterdir():
                if file.name == GRAPH:
                    continue
                # onnxruntime takes no weights from outside a graph's folder, and follows links to see.
                (folder / file.name).hardlink_to(file)
            graph = onnx.load(self._folder / GRAPH, load_external_data=False)
            for node in graph.graph.node:
                for attribute in node.attribute:
                    if node.op_type == _PACKED and attribute.name == "accuracy_level":
                        attribute.i = _IN_FLOAT
            onnx.save(graph, folder / GRAPH)
            return (_score(folder, windows),)

    def run_layers(self, _inputs: Sequence[NDArray[Any]]) -> dict[str, tuple[str, NDArray[Any]]]:
        """None: onnxruntime-genai shows no intermediate values."""
        return {}

    @cached_property
    def _weights(self) -> tuple[int, int]:
        """How many weights there are, and how many of them are not zero."""
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(self._folder / GRAPH).graph
        held = {each.name: each for each in graph.initializer if each.name not in _CACHES}
        count = non_zero = 0
        for node in graph.node:
            if node.op_type != _PACKED:
                continue
            # packed, scales and, where zero stands for another number than 8, zero points.
            packed, scales = (numpy_helper.to_array(held.pop(name)) for name in node.input[1:3])
            zeros = next((held.pop(name) for name in node.input[3:4] if name in held), None)
            sizes = {each.name: each.i for each in node.attribute}
            count += sizes["K"] * sizes["N"]
            non_zero += _non_zero(packed, scales, zeros, sizes["K"])
        for each in held.values():
            values = numpy_helper.to_array(each)
            if values.dtype.kind == "f" and values.ndim:
                count += values.size
                non_zero += int(np.count_nonzero(values))
        return count, non_zero


def _non_zero(packed: NDArray[Any], scales: NDArray[Any], zeros: Any, columns: int) -> int:
    """Of 4-bit weights: (rows, blocks, bytes a block), the lower half of a byte first."""
    from onnx import numpy_helper

    rows, blocks = packed.shape[:2]
    halves = np.stack([packed & 15, packed >> 4], axis=-1).reshape(rows, blocks, -1)
    middle: Any = 8
    if zeros is not None:
        points = numpy_helper.to_array(zeros).reshape(rows, -1)
        middle = np.stack([points & 15, points >> 4], axis=-1).reshape(rows, -1)[:, :blocks, None]
    set_ = (halves != middle) & (scales.reshape(rows, blocks, 1) != 0)
    return int(np.count_nonzero(set_.reshape(rows, -1)[:, :columns]))


def _score(folder: Path, windows: NDArray[Any]) -> NDArray[np.float32]:
    import onnxruntime_genai as genai

    config = genai.Config(str(folder))
    config.clear_providers()
    threads = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": threads}}}))
    model = genai.Model(config)
    rows = []
    for window in windows:
        settings = genai.GeneratorParams(model)
        settings.set_search_options(max_length=token_windows.WINDOW_TOKENS, do_sample=False, batch_size=1)
        generator = genai.Generator(model, settings)
        generator.append_tokens(np.asarray(window, dtype=np.int32))
        logits = np.asarray(generator.get_output("logits"), dtype=np.float32)[0]
        rows.append(token_windows.negative_log_likelihood(logits, window[1:]))
    return np.stack(rows).astype(np.float32)
