"""What a runtime can be asked to compute on, told by its files and the driver: no runtime is imported."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from edgemeter_agent.runtimes import RuntimeKind

TFLITE = ("xnnpack", "cpu")
EXECUTORCH = ("xnnpack", "cpu")

ONNX_LIBRARIES = {
    "cuda": "capi/libonnxruntime_providers_cuda.so",
    "tensorrt": "capi/libonnxruntime_providers_tensorrt.so",
}
"""In ONNX Runtime's package, where it was built with that provider."""

ONNX_FORMS = {
    "cuda": ("cuda", "cuda+cpu"),
    "tensorrt": ("tensorrt", "tensorrt+cuda", "tensorrt+cuda+cpu"),
}
"""`+`: what the first can't run goes to the next. Without `+cpu` nothing may go to the processor."""

TORCH_LIBRARY = "lib/libtorch_cuda.so"
"""In torch's package, where it was built with CUDA."""

DRIVER = "libcuda.so.1"


def cuda_devices() -> int:
    """Devices that the CUDA driver shows (cuInit, cuDeviceGetCount); 0 where there is no driver."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def available(runtime: RuntimeKind, devices: Callable[[], int] = cuda_devices) -> list[str]:
    """Names for `LoadOptions.accelerator`, the usual one first; none for a runtime that is not here."""
    if runtime.name in ("litert", "tflite-runtime"):
        return list(TFLITE)
    if runtime.name == "executorch":
        return list(EXECUTORCH)
    if runtime.name == "onnxruntime":
        built = [name for name, library in ONNX_LIBRARIES.items() if _holds(runtime.package, library)]
        there = built if built and devices() else []
        return ["cpu", *(form for name in there for form in ONNX_FORMS[name])]
    if runtime.name == "torch":
        return ["cpu", "cuda"] if _holds(runtime.package, TORCH_LIBRARY) and devices() else ["cpu"]
    if runtime.writes_text:
        return ["cpu"]
    return []


def unknown(runtime: str, accelerator: str, there: Sequence[str]) -> ValueError:
    """What to raise for an accelerator that a runtime does not have under any circumstances."""
    return ValueError(f"{runtime} has no accelerator {accelerator!r}; there are {', '.join(there)}")


def _holds(package: str, library: str) -> bool:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return False
    return (Path(spec.origin).parent / library).exists()
