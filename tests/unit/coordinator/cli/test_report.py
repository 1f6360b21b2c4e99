"""`edgemeter report`, with studies that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edgemeter_coordinator.cli.app import app
from edgemeter_coordinator.cli.connection import Where
from edgemeter_coordinator.report.page.page import Material
from edgemeter_coordinator.sdk.errors import EdgemeterError, Refused
from edgemeter_protos.v1 import lab_pb2
from tests.unit.coordinator.report.page.studies import language, material, pictures


class MadeUpStudy:
    def __init__(self, made: Material) -> None:
        self.last = made.study
        self._responses = made.responses

    @property
    def id(self) -> str:
        return self.last.name

    @property
    def name(self) -> str:
        return self.last.name

    def status(self) -> lab_pb2.Study:
        return self.last

    def responses(self) -> list[lab_pb2.ListResultsResponse]:
        return list(self._responses)


class MadeUpLab:
    """A lab with the study file "study" of two parts; power readings of one variant, damaged ones, none."""

    def __init__(self) -> None:
        self.made = [
            MadeUpStudy(material(pictures())),
            MadeUpStudy(material(language(), name="study/text", model="writer")),
        ]
        self.made[1].last.created_at_unix_ms = 1

    def __enter__(self) -> MadeUpLab:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def study(self, reference: str) -> MadeUpStudy:
        for each in self.made:
            if each.name == reference:
                return each
        raise Refused(f"there is no study {reference}", reason="NOT_FOUND")

    def studies(self, limit: int = 0, **_: object) -> list[MadeUpStudy]:
        return list(reversed(self.made))

    def download(self, digest: str, to: Path) -> None:
        digests = [each.result.trace_digest for each in self.made[0].responses()]
        if digest == digests[0]:
            np.savez(to, power_monotonic_ns=np.arange(9) * 10**9, power_total_mw=np.full(9, 3000.0))
        elif digest == digests[1]:
            to.write_bytes(b"damaged")
        else:
            raise EdgemeterError("the blob is gone")


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Where, "connect", lambda self: MadeUpLab())
    monkeypatch.chdir(tmp_path)


def typed(line: str) -> Result:
    done = CliRunner().invoke(app, line.split(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_a_study_as_a_page(tmp_path: Path) -> None:
    done = typed("report study/pictures")
    text = (tmp_path / "report.html").read_text()
    assert text.startswith("<!doctype html>")
    assert "<title>study/pictures · edgemeter</title>" in text
    assert "1 study in report.html (" in done.stderr
    assert done.stdout == ""


def test_a_study_file_is_all_of_its_parts_once(tmp_path: Path) -> None:
    typed("report study study/text -o both.html --title Both")
    text = (tmp_path / "both.html").read_text()
    assert "<h1>Both</h1>" in text
    assert text.count('<section class="study"') == 2


def test_power_that_cannot_be_read_is_left_out_and_said(tmp_path: Path) -> None:
    done = typed("report study/pictures")
    assert "Power: float32@tflite" in (tmp_path / "report.html").read_text()
    assert "the power readings of float16@tflite are left out: it is no .npz file" in done.stderr
    assert "the power readings of int8@tflite are left out: the blob is gone" in done.stderr


def test_markdown_goes_to_stdout() -> None:
    assert typed("report study --format md").stdout.startswith("# study\n")


def test_markdown_by_the_files_ending(tmp_path: Path) -> None:
    typed("report study -o study.md")
    assert (tmp_path / "study.md").read_text().startswith("# study\n")


def test_the_recommendations_as_json(tmp_path: Path) -> None:
    found = json.loads(typed("report study --json").stdout)
    assert [each["choices"][0]["recipe"] for each in found] == ["int8@tflite", "q8_0@gguf"]
    assert not (tmp_path / "report.html").exists()


def test_json_and_a_file_together(tmp_path: Path) -> None:
    json.loads(typed("report study --json -o page.html").stdout)
    assert (tmp_path / "page.html").exists()


def test_no_such_study() -> None:
    with pytest.raises(Refused, match="no study"):
        CliRunner().invoke(app, ["report", "nothing"], catch_exceptions=False)
