from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from edgemeter_converters import process
from edgemeter_converters.exceptions import ConversionError

LIGHT = """
import sys
import edgemeter_converters, edgemeter_converters.worker as worker
from edgemeter_converters import datasets, formats, identity, recipes, steps, tasks
for framework in ("keras", "torch", "onnx"):
    assert recipes.applicability(framework)
identity.tool_versions(recipes.parse("int8"), "keras", identity.installed_versions())
heavy = {"tensorflow", "keras", "ai_edge_litert", "torch", "onnx", "onnxruntime", "executorch", "grpc"}
heavy &= set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


def test_importing_everything_imports_no_framework() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tools_write_to_the_log_even_from_below_python(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    with process.tools_write_to(log):
        os.write(1, b"descriptor 1\n")
        os.write(2, b"descriptor 2\n")
    os.write(1, b"after\n")
    assert capfd.readouterr() == ("after\n", "")
    assert {"descriptor 1", "descriptor 2"} <= set(log.read_text().splitlines())


def test_descriptors_come_back_after_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(KeyError), process.tools_write_to(tmp_path / "log"):
            raise KeyError
    os.write(2, b"here\n")
    assert capfd.readouterr().err == "here\n"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("raised", "message", "reason"),
    [
        (RuntimeError("first\n  second"), "the conversion failed: RuntimeError: first second", 0),
        (MemoryError(), "the conversion failed: out of memory", 0),
        (ConversionError("no model", reason=18), "no model", 18),
    ],
)
def test_failures_are_one_line_with_the_end_of_the_log(
    raised: Exception, message: str, reason: int, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    with pytest.raises(ConversionError) as failed, process.failures_in_one_line(log, keep_log=True):
        raise raised
    error = pickle.loads(pickle.dumps(failed.value))
    assert (str(error), error.message, error.reason, error.log_path) == (message, message, reason, str(log))
    assert error.log_tail.splitlines()[-1] == "line 99"
    assert len(error.log_tail.splitlines()) == 20


def test_a_log_that_is_thrown_away_is_not_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as failed, process.failures_in_one_line(tmp_path / "log"):
        raise RuntimeError
    assert (failed.value.log_path, failed.value.log_tail) == ("", "")
