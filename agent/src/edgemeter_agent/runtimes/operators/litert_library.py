"""LiteRT's C library, as far as a profile needs it: litert/c/*.h of LiteRT 2.3, through ctypes.

The wheel's Python API has no profiler, but its libLiteRt.so has one. Its functions change between minor
versions, so a library of another one is not touched.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

KNOWN_VERSION = "2.3"
"""Of ai-edge-litert: whose functions take what they are given here."""

LIBRARY = "libLiteRt.so"

CPU = 1
"""kLiteRtHwAcceleratorCpu."""

ENVIRONMENT = ((25, 3), (24, CPU))
"""LiteRtEnvOption: log errors alone, and look for no accelerator but the processor's."""

ENVIRONMENT_OPTION = struct.Struct("@i4xi4xq")
"""A tag, the value's type (2: an integer) and the value."""

INTEGER = 2

WRITE = 1
"""kLiteRtTensorBufferLockModeWrite."""

TYPE_WORDS = 128
"""Room for a LiteRtRankedTensorType: its element type, its rank's bits and then its sizes, 32 bits each."""

SIZES_AT = 2

LAYOUT_BYTES = 128
"""Room for a LiteRtLayout."""

RECORD = struct.Struct("<Qi4xQQ48xQQi4x")
"""A ProfiledEventData: tag, type, start and elapsed time in µs, memory before and after, metadata, source."""

CAPACITY = 2048
"""Records that the profiler holds; it drops what comes after them."""

FILLER = 0xA5


@dataclass(frozen=True, kw_only=True)
class Event:
    """One of the profiler's records."""

    tag: str
    kind: int
    """Of tflite::Profiler::EventType: bits."""
    elapsed_us: int
    number: int
    """Of the operator's node in its graph, or in its delegate's."""


Tensors = Sequence[tuple[int, npt.NDArray[np.generic]]]
"""A tensor's number in the primary subgraph, and what it holds: for outputs the shape and type are enough."""


class ProfiledModel:
    """A compiled model with its profiler, on the processor; a context, for its memory is C's.

    Each failure is a RuntimeError that names the function.
    """

    def __init__(self, library: Path, artifact_path: str, cpu_options: str) -> None:
        """`cpu_options`: TOML, as litert/runtime/litert_cpu_options.cc reads it."""
        self._library = ctypes.CDLL(str(library))
        self._stack = ExitStack()
        try:
            self._open(artifact_path, cpu_options)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> ProfiledModel:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self, artifact_path: str, cpu_options: str) -> None:
        settings = b"".join(ENVIRONMENT_OPTION.pack(tag, INTEGER, value) for tag, value in ENVIRONMENT)
        self._environment = self._made(
            "Environment", "LiteRtCreateEnvironment", len(ENVIRONMENT), ctypes.create_string_buffer(settings)
        )
        model = self._made("Model", "LiteRtCreateModelFromFile", self._environment, artifact_path.encode())
        options = self._made("Options", "LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        self._add_options(options, "runtime_options_string", "enable_profiling = true\n")
        self._add_options(options, "xnnpack", cpu_options)
        self._model = self._made(
            "CompiledModel", "LiteRtCreateCompiledModel", self._environment, model, options
        )
        self._signature = self._made("", "LiteRtGetModelSignature", model, ctypes.c_size_t(0))
        self._profiler = self._made("", "LiteRtCompiledModelGetProfiler", self._model)

    def fill(self, inputs: Tensors, outputs: Tensors) -> None:
        """Gives the model its tensors' memory and its inputs, once. Sizes that the file leaves free, or has
        otherwise, become those of the arrays."""
        given = dict(inputs)
        resized = False
        for position, (tensor, sizes) in enumerate(self._tensors("Input", given)):
            shape = given[tensor].shape
            if any(have != want for have, want in zip(sizes[: len(shape)], shape, strict=True)):
                self._call(
                    "LiteRtCompiledModelResizeInputTensorNonStrict",
                    self._model,
                    ctypes.c_size_t(0),
                    ctypes.c_size_t(position),
                    (ctypes.c_int * len(shape))(*shape),
                    ctypes.c_size_t(len(shape)),
                )
                resized = True
        if resized:
            self._call(
                "LiteRtGetCompiledModelOutputTensorLayouts",
                self._model,
                ctypes.c_size_t(0),
                ctypes.c_size_t(len(outputs)),
                (ctypes.c_ubyte * (LAYOUT_BYTES * len(outputs)))(),
                ctypes.c_bool(True),
            )
        self._inputs = self._buffers("Input", given)
        self._outputs = self._buffers("Output", dict(outputs))
        for buffer, (tensor, _sizes) in zip(self._inputs, self._tensors("Input", given), strict=True):
            self._write(buffer, given[tensor])

    def run(self) -> None:
        self._call(
            "LiteRtRunCompiledModel",
            self._model,
            ctypes.c_size_t(0),
            ctypes.c_size_t(len(self._inputs)),
            self._inputs,
            ctypes.c_size_t(len(self._outputs)),
            self._outputs,
        )

    def start(self) -> None:
        """Forgets what was recorded and begins anew."""
        self._call("LiteRtStartProfiler", self._profiler)

    def events(self) -> list[Event]:
        """Since the start, in the order in which they began; recording stops.

        Raises RuntimeError where some may be missing, and where records are not as long as they are known to
        be.
        """
        self._call("LiteRtStopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        if not count.value:
            return []
        if count.value >= CAPACITY:
            raise RuntimeError(f"a query has more than the {CAPACITY} records that LiteRT's profiler holds")
        room = 2 * RECORD.size * count.value
        records = (ctypes.c_ubyte * room).from_buffer(bytearray([FILLER]) * room)
        self._call("LiteRtGetProfilerEvents", self._profiler, count, records)
        data = bytes(records)
        written = -(-len(data.rstrip(bytes([FILLER]))) // 8) * 8
        if written != RECORD.size * count.value:
            raise RuntimeError(f"LiteRT's profiler writes {written / count.value:g} bytes a record")
        return [
            Event(tag=_text(tag), kind=kind, elapsed_us=elapsed, number=number)
            for tag, kind, _start, elapsed, number, _extra, _source in RECORD.iter_unpack(data[:written])
        ]

    def _tensors(self, side: str, arrays: dict[int, npt.NDArray[np.generic]]) -> list[tuple[int, list[int]]]:
        """Numbers and sizes of the signature's tensors, in its order; -1 is a free size, 1 until it is
        resized."""
        listed = []
        for position in range(self._count(f"LiteRtGetNumSignature{side}s", self._signature)):
            _handle, words, number = self._tensor(side, position)
            if number not in arrays:
                raise RuntimeError("the model's first signature is not of its primary subgraph")
            listed.append((number, [1 if size < 0 else size for size in words[SIZES_AT:]]))
        return listed

    def _tensor(self, side: str, position: int) -> tuple[ctypes.c_void_p, Any, int]:
        handle = self._made(
            "", f"LiteRtGetSignature{side}TensorByIndex", self._signature, ctypes.c_size_t(position)
        )
        words = (ctypes.c_int32 * TYPE_WORDS)()
        self._call("LiteRtGetRankedTensorType", handle, words)
        number = ctypes.c_uint32()
        self._call("LiteRtGetTensorIndex", handle, ctypes.byref(number))
        return handle, words, number.value

    def _buffers(self, side: str, arrays: dict[int, npt.NDArray[np.generic]]) -> Any:
        made = []
        for position in range(len(arrays)):
            _handle, words, number = self._tensor(side, position)
            for dimension, size in enumerate(arrays[number].shape):
                words[SIZES_AT + dimension] = size
            needs = self._made(
                "",
                f"LiteRtGetCompiledModel{side}BufferRequirements",
                self._model,
                ctypes.c_size_t(0),
                ctypes.c_size_t(position),
            )
            create = "LiteRtCreateManagedTensorBufferFromRequirements"
            made.append(self._made("TensorBuffer", create, self._environment, words, needs))
        return (ctypes.c_void_p * len(made))(*made)

    def _write(self, buffer: int, array: npt.NDArray[np.generic]) -> None:
        handle = ctypes.c_void_p(buffer)
        memory = ctypes.c_void_p()
        self._call("LiteRtLockTensorBuffer", handle, ctypes.byref(memory), WRITE)
        data = np.ascontiguousarray(array)
        ctypes.memmove(memory, data.ctypes.data, data.nbytes)
        self._call("LiteRtUnlockTensorBuffer", handle)

    def _add_options(self, options: ctypes.c_void_p, identifier: str, toml: str) -> None:
        """Options travel as text under a name; the library frees it."""
        c = ctypes.CDLL(None)
        c.strdup.restype, c.strdup.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        text = ctypes.c_void_p(c.strdup(toml.encode()))
        free = ctypes.cast(c.free, ctypes.c_void_p)
        opaque = self._made("", "LiteRtCreateOpaqueOptions", identifier.encode(), text, free)
        self._call("LiteRtAddOpaqueOptions", options, opaque)

    def _made(self, owned: str, name: str, *arguments: Any) -> ctypes.c_void_p:
        """What a function hands out through its last parameter; destroyed with the model where it is ours."""
        handle = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(handle))
        if owned:
            destroy = getattr(self._library, f"LiteRtDestroy{owned}")
            destroy.restype = None
            self._stack.callback(destroy, handle)
        return handle

    def _count(self, name: str, *arguments: Any) -> int:
        count = ctypes.c_size_t()
        self._call(name, *arguments, ctypes.byref(count))
        return count.value

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} of LiteRT's C library failed with status {status}")


def _text(address: int) -> str:
    return ctypes.string_at(address).decode(errors="replace")
