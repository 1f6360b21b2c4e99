from __future__ import annotations

import pytest

from edgemeter_agent.runtimes import NULL, RUNTIMES, kind
from edgemeter_agent.runtimes.choice import NoRuntime, choose_runtime
from edgemeter_agent.runtimes.installed import InstalledRuntime, installed_runtimes, numpy_conflict
from edgemeter_protos.v1 import variant_pb2


def here(name: str, version: str, unusable_because: str | None = None) -> InstalledRuntime:
    return InstalledRuntime(
        name=name, version=version, formats=("tflite",), unusable_because=unusable_because
    )


def need(name: str, low: str = "", high: str = "") -> variant_pb2.RuntimeRequirement:
    return variant_pb2.RuntimeRequirement(runtime=name, min_version=low, below_version=high)


LITERT = here("litert", "2.3.0")
OLD = here("tflite-runtime", "2.14.0")
CLASHING = here("tflite-runtime", "2.14.0", "tflite-runtime is built against numpy 1")


@pytest.mark.parametrize(
    ("requirements", "installed", "chosen"),
    [
        # the requirements' order decides, not what is installed first
        ([need("tflite-runtime"), need("litert")], [LITERT, OLD], "tflite-runtime"),
        ([need("litert"), need("tflite-runtime")], [LITERT, OLD], "litert"),
        ([need("litert", "2.0"), need("tflite-runtime")], [OLD], "tflite-runtime"),
        # min is inclusive, below is exclusive
        ([need("litert", "2.3")], [LITERT], "litert"),
        ([need("litert", "2.3", "2.3.1")], [LITERT], "litert"),
        # a runtime that clashes with numpy gives way
        ([need("tflite-runtime"), need("litert")], [LITERT, CLASHING], "litert"),
        # no requirements: whatever serves the format
        ([], [LITERT, OLD], "litert"),
        ([], [CLASHING, LITERT], "litert"),
    ],
)
def test_choice(
    requirements: list[variant_pb2.RuntimeRequirement], installed: list[InstalledRuntime], chosen: str
) -> None:
    found = choose_runtime(requirements, installed, "tflite")
    assert isinstance(found, InstalledRuntime)
    assert found.name == chosen


@pytest.mark.parametrize(
    ("requirements", "installed", "artifact_format", "reason"),
    [
        ([need("litert")], [], "tflite", "no runtime is installed; pip install 'edgemeter-agent[litert]'"),
        ([need("litert")], [OLD], "tflite", "litert is not installed"),
        (
            [need("litert", "3.0"), need("tflite-runtime", "2.15", "3")],
            [LITERT, OLD],
            "tflite",
            "litert>=3.0 is needed; tflite-runtime 2.14.0 is installed and tflite-runtime>=2.15,<3 is needed",
        ),
        (
            [need("litert", "", "2.3")],
            [LITERT],
            "tflite",
            "litert 2.3.0 is installed and litert<2.3 is needed",
        ),
        ([need("tflite-runtime")], [CLASHING], "tflite", "tflite-runtime is built against numpy 1"),
        ([need("litert", "1")], [here("litert", "")], "tflite", "does not tell its version"),
        ([], [LITERT], "onnx", "litert does not run onnx"),
    ],
)
def test_no_choice_says_why(
    requirements: list[variant_pb2.RuntimeRequirement],
    installed: list[InstalledRuntime],
    artifact_format: str,
    reason: str,
) -> None:
    found = choose_runtime(requirements, installed, artifact_format)
    assert isinstance(found, NoRuntime)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("name", "numpy", "conflict"),
    [
        ("tflite-runtime", "2.4.6", "pip install 'numpy<2'"),
        ("tflite-runtime", "1.26.4", None),
        ("litert", "2.4.6", None),
        ("litert", "", "numpy is not installed"),
    ],
)
def test_numpy_and_the_runtimes(name: str, numpy: str, conflict: str | None) -> None:
    found = numpy_conflict(kind(name), numpy)
    assert (found is None) == (conflict is None)
    assert (conflict or "") in (found or "")


def test_the_installed_ones_have_versions_and_the_empty_one_is_not_offered() -> None:
    installed = installed_runtimes()
    assert {one.name for one in installed} <= {known.name for known in RUNTIMES}
    assert all(one.version for one in installed)
    assert NULL not in RUNTIMES


def test_an_unknown_runtime_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no runtime is called 'warp'; there are litert, tflite-runtime"):
        kind("warp")
