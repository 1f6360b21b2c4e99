"""How `edgemeter-agent bench` tells formats apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_agent.cli.bench import format_of
from edgemeter_agent.runtimes import FORMAT_OF_SUFFIX, RUNTIMES

TFLITE = b"\x1c\0\0\0TFL3 and so on"


@pytest.mark.parametrize(
    ("name", "content", "format_"),
    [
        ("model.onnx", b"\x08\x08 and so on", "onnx"),
        ("MODEL.ONNX", b"\x08\x08 and so on", "onnx"),
        ("model.tflite", TFLITE, "tflite"),
        # Its own mark counts for more than a name.
        ("model.bin", TFLITE, "tflite"),
    ],
)
def test_names_and_marks_tell_the_format(name: str, content: bytes, format_: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert format_of(path) == format_


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.bin", r"is in no known format: models have names in .*\.onnx"),
        ("model.tflite", "is no TFLite model"),
    ],
)
def test_what_is_neither_is_refused(name: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=said):
        format_of(path)


def test_every_format_of_a_suffix_has_a_runtime() -> None:
    assert set(FORMAT_OF_SUFFIX.values()) <= {name for kind in RUNTIMES for name in kind.formats}
