"""Runs logged to an MLflow tracking server, by its REST API; MLflow itself is not needed for it.

https://mlflow.org/docs/latest/rest-api.html; artifacts go through the server's own proxy (`mlflow server`
serves them unless told otherwise).
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgemeter_coordinator.report.runs import RESULT_TAG, Run
from edgemeter_coordinator.sdk.errors import EdgemeterError

TIMEOUT_S = 30.0
_MOST_METRICS, _MOST_PARAMETERS, _MOST_TAGS = 500, 100, 100
"""Of one log-batch request: MLflow takes 1000 of all three together."""
_PROXY = "mlflow-artifacts:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """`known` had been logged before. `without_artifacts` says why files were left out; empty where none
    was."""

    experiment: str
    new: int
    known: int
    without_artifacts: str = ""


def log(uri: str, experiment: str, runs: Iterable[Run]) -> Logged:
    """Logs each run that the server does not have yet to the experiment, which is made where it is not there.

    Who may is told by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, as
    MLflow's own client reads them. Raises EdgemeterError.
    """
    server = _Server(uri)
    experiment_id = server.experiment(experiment)
    new = known = 0
    why = ""
    for run in runs:
        if server.has(experiment_id, run.result_id):
            known += 1
            continue
        why = server.log(experiment_id, run) or why
        new += 1
    return Logged(experiment=experiment, new=new, known=known, without_artifacts=why)


class _Server:
    def __init__(self, uri: str) -> None:
        parts = urllib.parse.urlsplit(uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EdgemeterError(
                f"{uri!r} is no tracking server's address: edgemeter logs by REST, to http://HOST:PORT; "
                "`mlflow server --backend-store-uri STORE` serves a local store"
            )
        self._base = urllib.parse.urlunsplit(
            (parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", "")
        )
        self._headers = _authorization(parts)

    def experiment(self, name: str) -> str:
        """Its id."""
        query = urllib.parse.urlencode({"experiment_name": name})
        found = self._call("GET", f"experiments/get-by-name?{query}", absent_is_none=True)
        if found is None:
            found = {"experiment": self._call("POST", "experiments/create", {"name": name}) or {}}
        one = found.get("experiment", {})
        if one.get("lifecycle_stage") == "deleted":
            raise EdgemeterError(
                f"the experiment {name} is deleted at {self._base}: restore it there, or remove it for good"
            )
        return str(one.get("experiment_id", ""))

    def has(self, experiment_id: str, result_id: str) -> bool:
        if not re.fullmatch(r"[0-9A-Za-z._:-]+", result_id):
            return False
        asked = {
            "experiment_ids": [experiment_id],
            "filter": f"tags.`{RESULT_TAG}` = '{result_id}' and attributes.status != 'RUNNING'",
            "max_results": 1,
        }
        return bool((self._call("POST", "runs/search", asked) or {}).get("runs"))

    def log(self, experiment_id: str, run: Run) -> str:
        """Why its files were left out; empty where they were not. A run is finished last: what is cut off
        stays "running", and is logged anew."""
        now_ms = int(time.time() * 1000)
        made = self._call(
            "POST",
            "runs/create",
            {"experiment_id": experiment_id, "run_name": run.name, "start_time": now_ms},
        )
        info = (made or {}).get("run", {}).get("info", {})
        run_id = info.get("run_id")
        for batch in _batches(run, now_ms):
            self._call("POST", "runs/log-batch", {"run_id": run_id, **batch})
        why = self._put(info.get("artifact_uri", ""), run.artifacts)
        status = "FAILED" if run.failed else "FINISHED"
        self._call("POST", "runs/update", {"run_id": run_id, "status": status, "end_time": now_ms})
        return why

    def _put(self, artifact_uri: str, artifacts: Mapping[str, bytes]) -> str:
        if not artifact_uri.startswith(_PROXY):
            return f"the server keeps files at {artifact_uri}, which only MLflow's own client can write to"
        folder = urllib.parse.urlsplit(artifact_uri).path.strip("/")
        for name, content in artifacts.items():
            path = urllib.parse.quote(f"{folder}/{name}")
            self._send(
                "PUT", f"{self._base}/api/2.0/mlflow-artifacts/artifacts/{path}", content, "application/json"
            )
        return ""

    def _call(
        self, method: str, path: str, asked: Mapping[str, Any] | None = None, *, absent_is_none: bool = False
    ) -> dict[str, Any] | None:
        body = None if asked is None else json.dumps(asked, allow_nan=False).encode()
        try:
            answer = self._send(method, f"{self._base}/api/2.0/mlflow/{path}", body, "application/json")
        except _AbsentError:
            if absent_is_none:
                return None
            raise
        try:
            found: dict[str, Any] = json.loads(answer or b"{}")
        except ValueError:
            raise EdgemeterError(f"{self._base} answers, but not as MLflow does") from None
        return found

    def _send(self, method: str, url: str, body: bytes | None, content_type: str) -> bytes:
        headers = {**self._headers, "Content-Type": content_type}
        request = urllib.request.Request(url, data=body, method=method, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as error:
            said = _reason(error)
            if said.startswith("RESOURCE_DOES_NOT_EXIST"):
                raise _AbsentError(f"MLflow at {self._base}: {said}") from None
            raise EdgemeterError(f"MLflow at {self._base} refuses: {said}") from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            why = getattr(error, "reason", None) or error
            raise EdgemeterError(f"no MLflow server answers at {self._base}: {why}") from None


class _AbsentError(EdgemeterError):
    """What was asked for is not there."""


def _authorization(parts: urllib.parse.SplitResult) -> dict[str, str]:
    user = urllib.parse.unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = urllib.parse.unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    if user:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    return {"Authorization": f"Bearer {token}"} if token else {}


def _batches(run: Run, now_ms: int) -> list[dict[str, Any]]:
    """The run in requests that the server takes."""
    metrics = [
        {"key": key, "value": value, "timestamp": now_ms, "step": 0} for key, value in run.metrics.items()
    ]
    parameters = [{"key": key, "value": value} for key, value in run.parameters.items()]
    tags = [{"key": key, "value": value} for key, value in run.tags.items()]
    return [
        {kind: entries[at : at + most]}
        for kind, entries, most in (
            ("metrics", metrics, _MOST_METRICS),
            ("params", parameters, _MOST_PARAMETERS),
            ("tags", tags, _MOST_TAGS),
        )
        for at in range(0, len(entries), most)
    ]


def _reason(error: urllib.error.HTTPError) -> str:
    """One line of what the server said."""
    try:
        said = json.loads(error.read(10_000))
        return " ".join(f"{said.get('error_code', error.code)}: {said.get('message', '')}".split())
    except (ValueError, AttributeError, OSError):
        return f"{error.code} {error.reason}"
