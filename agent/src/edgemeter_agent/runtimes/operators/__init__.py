"""What each operator of a model takes: one file a runtime, registered here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemeter_agent.runtimes import LoadOptions, kind
from edgemeter_agent.runtimes.batch import repeated
from edgemeter_protos.v1 import result_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array

PROFILERS: dict[str, str] = {
    "litert": "edgemeter_agent.runtimes.operators.litert",
    "onnxruntime": "edgemeter_agent.runtimes.operators.onnx",
    "executorch": "edgemeter_agent.runtimes.operators.executorch",
    "torch": "edgemeter_agent.runtimes.operators.torch",
}
"""Modules by RuntimeKind.name; each has `profile(runtime, artifact_path, options, inputs, queries,
work_dir)`."""

UNAVAILABLE: dict[str, str] = {
    "tflite-runtime": "tflite-runtime's wheel has no profiler; LiteRT's has",
    "null": "the empty runtime has no operators",
    "llama.cpp": "llama.cpp's functions do not time its operators",
    "onnxruntime-genai": "ONNX Runtime GenAI's Python API does not time its operators",
}


def unavailable(runtime_name: str) -> str:
    """Why there is no profiler for a runtime, one line; "" where there is one."""
    if runtime_name in PROFILERS:
        return ""
    return UNAVAILABLE.get(runtime_name, f"{runtime_name} has no profiler")


def profile(
    runtime_name: str,
    artifact_path: str,
    options: LoadOptions,
    inputs: Sequence[Array],
    queries: int,
    work_dir: str | Path,
) -> result_pb2.OperatorProfile:
    """Loads a model into its runtime's profiler and runs one sample `queries` times; the first runs are left
    out.

    Args:
        inputs: one sample, real values, one array an input; repeated where the options ask for a batch.
        work_dir: for the profiler's files, which are deleted.

    Returns:
        Operators, the slowest first, their shares adding up to 1; or the reason why there are none.
    """
    reason = unavailable(runtime_name)
    if reason:
        return result_pb2.OperatorProfile(unavailable=reason)
    if queries < 1:
        raise ValueError(f"a profile needs at least one query, and {queries} were asked for")
    profiler: Any = import_module(PROFILERS[runtime_name])
    try:
        made: result_pb2.OperatorProfile = profiler.profile(
            kind(runtime_name),
            artifact_path,
            options,
            repeated(inputs, options.batch_size),
            queries,
            Path(work_dir),
        )
    except Exception as error:
        # A profiler is a runtime's side door: whatever it throws costs the profile, not the variant.
        lines = str(error).strip().splitlines()
        return result_pb2.OperatorProfile(
            unavailable=f"{runtime_name}'s profiler failed: {lines[0] if lines else type(error).__name__}"
        )
    return made
