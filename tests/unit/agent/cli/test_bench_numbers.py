from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_agent.cli import main


@pytest.mark.parametrize(
    "options",
    [
        ["--min-duration", "inf"],
        ["--min-duration=-inf"],
        ["--min-duration", "nan"],
        ["--min-duration", "-1"],
        ["--min-duration", "1e300"],
        ["--threads", "99999999999"],
        ["--blocks", "0"],
    ],
)
def test_a_number_that_cannot_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(b"\0\0\0\0TFL3")
    assert main(["bench", str(model), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edgemeter-agent: ")
    assert said.count("\n") == 1
