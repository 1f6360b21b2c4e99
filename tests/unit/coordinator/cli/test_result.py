"""`edgemeter result` and what a dry run prints, with a study that is made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edgemeter_coordinator.cli import bench
from edgemeter_coordinator.cli.app import app
from edgemeter_coordinator.cli.connection import Where
from edgemeter_coordinator.report import export
from edgemeter_coordinator.report.runs import Run
from edgemeter_coordinator.sdk import mlflow
from edgemeter_protos import plans
from edgemeter_protos.v1 import lab_pb2
from tests.unit.coordinator.report.measured import measured
from tests.unit.coordinator.report.responses import full


class MadeUp:
    """A lab with one study, and the study itself."""

    def __enter__(self) -> MadeUp:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def study(self, reference: str) -> MadeUp:
        assert reference == "digits-1"
        return self

    def responses(self, *, include_late: bool = False) -> list[lab_pb2.ListResultsResponse]:
        return [full(), measured()]

    @property
    def name(self) -> str:
        return "digits-1"

    def results(self, *, include_late: bool = False) -> list[dict[str, object]]:
        return export.exported(self.responses())

    def download_raw(self, folder: Path, *, include_late: bool = False) -> list[Path]:
        return [folder / "one.npz"]


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Where, "connect", lambda self: MadeUp())


def typed(line: str) -> Result:
    done = CliRunner().invoke(app, line.split(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_a_result_is_shown_in_full() -> None:
    text = typed("result show digits-1 int8").output
    assert text.startswith("int8@tflite on pi-a, study digits-1\n\nverdict\n  degraded")
    for title in ("latency", "energy", "memory", "operators", "sustained", "against the baseline"):
        assert f"\n\n{title}\n  " in text
    assert "2.00 mJ ± 80.0 µJ" in text


def test_a_result_as_json_is_its_export() -> None:
    assert json.loads(typed("result show digits-1 int8 --json").output) == export.exported([measured()])


def test_raw_data_goes_beside_the_export(tmp_path: Path) -> None:
    done = typed(f"result export digits-1 --raw {tmp_path} -o {tmp_path / 'rows.json'}")
    assert f"1 files in {tmp_path}" in done.stderr
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 2


def test_a_dry_run_says_how_it_would_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    plan = plans.resolve("quick", scenario="offline", batch_size=16, sustain="10m")
    study = lab_pb2.Study(
        plan=plan,
        variants=[lab_pb2.StudyVariant(recipe="int8@tflite", state=lab_pb2.VARIANT_STATE_READY, reused=True)],
        jobs=[lab_pb2.Job(device_name="pi-a")],
    )
    bench.print_price(study)
    said = capsys.readouterr()
    for text in ("offline", "16", "10 min", "3 windows of at least 2.00 s", "would measure at once"):
        assert text in said.out, text
    assert "measuring takes at least 10.2 min a board: blocks 3.00 s, energy 10.0 s" in said.err
    assert "sustained 10 min" in said.err


def test_parquet_goes_into_a_file_only(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    done = typed(f"result export digits-1 --format parquet -o {file}")
    assert "2 results in" in done.stderr
    assert file.read_bytes().startswith(b"PAR1")
    refused = CliRunner().invoke(app, ["result", "export", "digits-1", "--format", "parquet"])
    assert refused.exit_code == 2
    assert "name a file with -o" in refused.output


def test_json_and_another_form_exclude_each_other() -> None:
    for form in ("csv", "parquet"):
        refused = CliRunner().invoke(app, ["result", "export", "digits-1", "--json", "--format", form])
        assert refused.exit_code == 2


def test_runs_are_logged_instead_of_printed_or_beside_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    def log(uri: str, experiment: str, runs: list[Run]) -> mlflow.Logged:
        seen.append((uri, experiment, [run.name for run in runs]))
        return mlflow.Logged(experiment=experiment, new=1, known=1, without_artifacts="it keeps them itself")

    monkeypatch.setattr(mlflow, "log", log)
    done = typed("result export digits-1 --mlflow http://127.0.0.1:5000")
    assert done.stdout == ""
    assert "1 runs logged in the experiment digits-1, 1 known" in done.stderr
    assert "without their files: it keeps them itself" in done.stderr
    typed(f"result export digits-1 --mlflow http://127.0.0.1:5000 -o {tmp_path / 'rows.json'}")
    assert (tmp_path / "rows.json").exists()
    assert (
        seen == [("http://127.0.0.1:5000", "digits-1", ["float32@tflite on pi-a", "int8@tflite on pi-a"])] * 2
    )
