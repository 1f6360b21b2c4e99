"""The same .tflite of three sizes (MobileNetV2 of 96, 160 and 224, one thread) under `edgemeter-agent bench`
and under `litert-benchmark` of the ai-edge-litert wheel, in turn. The latter measures LiteRT's CompiledModel,
reports hundredths of a millisecond (0.6 % of the smallest model's latency), and runs once, so that
neighbouring runs differ by what the machine does, and by where each process's memory happens to lie."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import mobilenet
from tests.benchmarks.figures import Figure, median_ratio

SIDES = (96, 160, 224)
TURNS = 7
BIN = Path(sys.executable).parent


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        return [_figure(side, Path(folder)) for side in SIDES]


def _figure(side: int, folder: Path) -> Figure:
    artifact = mobilenet.write(side, folder / "mobilenet.tflite")
    ours, peer = [], []
    for _ in range(TURNS):
        ours.append(_ours_ms(artifact))
        peer.append(_peer_ms(artifact, folder / "peer.json"))
    ratio = median_ratio(ours, peer)
    return Figure(
        what=f"p50 of MobileNetV2 {side}",
        unit="ms",
        ours=statistics.median(ours),
        peer_name="litert-benchmark",
        peer=statistics.median(peer),
        ratio=ratio,
        target="within 2 %",
        met=abs(ratio - 1) <= 0.02,
        note="pairs: " + ", ".join(f"{a:.2f}/{b:.2f}" for a, b in zip(ours, peer, strict=True)) + " ms.",
    )


def _ours_ms(artifact: Path) -> float:
    printed = subprocess.run(
        [BIN / "edgemeter-agent", "bench", artifact, "--profile", "quick", "--json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return float(json.loads(printed)[0]["latency"]["p50_ns"]) / 1e6


def _peer_ms(artifact: Path, report: Path) -> float:
    command: list[str | Path] = [BIN / "litert-benchmark", "--model", artifact, "--num_threads", "1"]
    command += ["--warmup_runs", "20", "--num_runs", "100", "--result_json", report]
    subprocess.run(command, capture_output=True, check=True)
    return float(json.loads(report.read_text())["latency"]["median_ms"])
