"""Runs logged to a real MLflow server, in an environment of its own: its pins do not agree with ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgemeter_coordinator.report.runs import Run, runs_of
from edgemeter_coordinator.sdk import mlflow
from edgemeter_coordinator.sdk.errors import EdgemeterError
from tests.desk import free_port
from tests.unit.coordinator.report.measured import measured
from tests.unit.coordinator.report.responses import full, nothing_measured

MLFLOW = "mlflow==3.17.2"
ENVIRONMENT = Path(__file__).parents[4] / "build" / MLFLOW.replace("==", "-")
"""Made once: half a gigabyte, a quarter of a minute."""

SERVER_QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def installed() -> Path:
    """The folder of the environment's programs."""
    done = ENVIRONMENT / "installed"
    if not done.exists():
        uv = str(Path(sys.executable).parent / "uv")
        python = str(ENVIRONMENT / "bin" / "python")
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(ENVIRONMENT)],
            [uv, "pip", "install", "--quiet", "--python", python, MLFLOW],
        ):
            made = subprocess.run(command, capture_output=True, text=True, timeout=240)
            assert made.returncode == 0, made.stderr[-2000:]
        done.touch()
    return ENVIRONMENT / "bin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [str(installed() / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **SERVER_QUIET},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        else:
            pytest.fail((folder / "server.log").read_text()[-2000:])
        yield address
    finally:
        # It leaves workers behind otherwise.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def runs() -> list[Run]:
    responses = [full(), measured(), nothing_measured("prune(0.5)@tflite")]
    for index, each in enumerate(responses):
        each.result.id = f"0a1b2c{index}"
    return runs_of(responses)


def asked(server: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{server}/api/2.0/mlflow/{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def stored(server: str, experiment: str) -> list[dict[str, Any]]:
    """Runs as the server has them, the oldest first."""
    query = urllib.parse.urlencode({"experiment_name": experiment})
    url = f"{server}/api/2.0/mlflow/experiments/get-by-name?{query}"
    with urllib.request.urlopen(url, timeout=30) as response:
        experiment_id = json.load(response)["experiment"]["experiment_id"]
    found = asked(server, "runs/search", {"experiment_ids": [experiment_id], "order_by": ["start_time ASC"]})
    every: list[dict[str, Any]] = found.get("runs", [])
    return every


@pytest.mark.slow
def test_runs_are_there_with_all_that_was_logged(server: str) -> None:
    wanted = runs()
    logged = mlflow.log(server, "compression/digits", wanted)
    assert (logged.new, logged.known, logged.without_artifacts) == (3, 0, "")
    there = {one["info"]["run_name"]: one for one in stored(server, "compression/digits")}
    for run in wanted:
        one = there[run.name]
        assert one["info"]["status"] == ("FAILED" if run.failed else "FINISHED")
        assert {each["key"]: each["value"] for each in one["data"]["metrics"]} == pytest.approx(run.metrics)
        assert {each["key"]: each["value"] for each in one["data"]["params"]} == run.parameters
        tags = {each["key"]: each["value"] for each in one["data"]["tags"]}
        assert run.tags.items() <= tags.items()
        folder = urllib.parse.urlsplit(one["info"]["artifact_uri"]).path
        file = f"{server}/api/2.0/mlflow-artifacts/artifacts{folder}/result.json"
        with urllib.request.urlopen(file, timeout=30) as response:
            assert response.read() == run.artifacts["result.json"]


@pytest.mark.slow
def test_what_is_there_is_not_logged_again(server: str) -> None:
    assert mlflow.log(server, "twice", runs()[:2]).new == 2
    again = mlflow.log(server, "twice", runs())
    assert (again.new, again.known) == (1, 2)
    assert len(stored(server, "twice")) == 3


@pytest.mark.slow
def test_a_run_that_was_cut_off_is_logged_anew(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> str:
        raise EdgemeterError("the network is gone")

    with monkeypatch.context() as patched:
        patched.setattr(mlflow._Server, "_put", cut)
        with pytest.raises(EdgemeterError, match="gone"):
            mlflow.log(server, "cut", runs()[:1])
    assert mlflow.log(server, "cut", runs()[:1]).new == 1
    assert sorted(one["info"]["status"] for one in stored(server, "cut")) == ["FINISHED", "RUNNING"]


@pytest.mark.slow
def test_what_the_server_refuses_is_said(server: str) -> None:
    with pytest.raises(EdgemeterError, match=r"MLflow at .* refuses: INVALID_PARAMETER_VALUE"):
        mlflow.log(server, "", runs())


@pytest.mark.parametrize("uri", ["./mlruns", "sqlite:///mlflow.db", "databricks", "http://", ""])
def test_what_is_no_server(uri: str) -> None:
    with pytest.raises(EdgemeterError, match="no tracking server's address"):
        mlflow.log(uri, "digits", runs())


def test_no_server_answers() -> None:
    with pytest.raises(EdgemeterError, match=r"no MLflow server answers at http://127\.0\.0\.1:"):
        mlflow.log(f"http://127.0.0.1:{free_port()}", "digits", runs())


@pytest.mark.parametrize(
    ("uri", "environment", "header"),
    [
        pytest.param("http://host:5000", {}, None, id="nobody asks"),
        pytest.param("http://me:p%40ss@host", {}, "Basic bWU6cEBzcw==", id="in the address"),
        pytest.param(
            "http://host",
            {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "p@ss"},
            "Basic bWU6cEBzcw==",
            id="as MLflow's client reads them",
        ),
        pytest.param("http://host", {"MLFLOW_TRACKING_TOKEN": "abc"}, "Bearer abc", id="a token"),
    ],
)
def test_who_logs(
    uri: str, environment: dict[str, str], header: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    server = mlflow._Server(uri)
    assert server._headers.get("Authorization") == header
    assert "@" not in server._base
