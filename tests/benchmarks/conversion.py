"""What edgemeter adds to a conversion, and what it saves. In one worker process, its imports done and the
model loaded, the same conversion takes turns with a script that calls the converter itself. `converting` is
what corresponds: the encoding, with the bookkeeping around it. A build also runs the variant over the
evaluation data, checks a golden pair and writes the manifest: the whole of it, beside the same script, has no
target. Then, over a coordinator: how long a variant that is ready makes a study wait, how often recipes that
begin alike carry out what they share, and independent conversions by one worker and by two, both warm."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgemeter_converters import zoo
from edgemeter_coordinator.sdk import settings
from edgemeter_coordinator.sdk.lab import Lab
from edgemeter_coordinator.sdk.study import Study
from edgemeter_protos.v1 import lab_pb2
from tests.benchmarks import converter_turns
from tests.benchmarks.figures import Figure, median_ratio
from tests.desk import Desk, until

WHAT = {"tflite": "ResNet, Keras to int8@tflite", "onnx": "EfficientNet-lite0, torch to int8@onnx"}
PEER = {"tflite": "TFLiteConverter", "onnx": "torch.onnx and quantize_static"}

CACHED_STUDIES = 20
ROUNDS = 3
CONVERSIONS = 4
PATIENCE_S = 900


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ("cifar10-resnet", "efficientnet-lite0"):
            zoo.fetch(each, folder)
        figures = [figure for kind in converter_turns.TURNS for figure in _beside_the_converter(kind, folder)]
        figures += _ready_and_shared(folder)
        return [*figures, _two_workers(folder)]


# In a worker's process.


def _beside_the_converter(kind: str, folder: Path) -> list[Figure]:
    done = subprocess.run(
        [sys.executable, converter_turns.__file__, kind, folder],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    times = json.loads(done.stdout.splitlines()[-1])
    converting, building, peer = times["converting"], times["building"], times["peer"]
    ratio = median_ratio(converting, peer)
    pairs = ", ".join(f"{a:.2f}/{b:.2f}" for a, b in zip(converting, peer, strict=True))
    return [
        Figure(
            what=f"{WHAT[kind]}: converting",
            unit="s",
            ours=statistics.median(converting),
            peer_name=PEER[kind],
            peer=statistics.median(peer),
            ratio=ratio,
            target="<= 1.05",
            met=ratio <= 1.05,
            note=f"pairs: {pairs} s.",
        ),
        Figure(
            what=f"{WHAT[kind]}: the whole build",
            unit="s",
            ours=statistics.median(building),
            peer_name=PEER[kind],
            peer=statistics.median(peer),
            ratio=median_ratio(building, peer),
            target="-",
            met=None,
        ),
    ]


# Over a coordinator.


def _ready_and_shared(folder: Path) -> list[Figure]:
    with _coordinator(folder / "ready", workers=1) as (desk, lab):
        _bring(desk, lab, folder)
        _built(lab, ["float32"])
        waits = []
        for _ in range(CACHED_STUDIES):
            begin = time.perf_counter()
            study = _bench(lab, ["float32"])
            while not _is_queued(study.last):
                study.status()
            waits.append((time.perf_counter() - begin) * 1e3)
            study.cancel()
        alike = ["prune(0.5,epochs=1)", "prune(0.5,epochs=1)+int8", "prune(0.5,epochs=1)+dynamic"]
        variants = _built(lab, alike).variants
    run = sum(not stage.reused for variant in variants for stage in variant.manifest.stages)
    wait_ms = statistics.median(waits)
    return [
        Figure(
            what="CreateStudy of a variant that is ready, to its job being queued",
            unit="ms",
            ours=wait_ms,
            peer_name="",
            peer=None,
            ratio=None,
            target="<= 50 ms",
            met=wait_ms <= 50,
            note=f"{min(waits):.1f} to {max(waits):.1f} ms in {len(waits)} studies.",
        ),
        Figure(
            what="prune(0.5), prune(0.5)+int8, prune(0.5)+dynamic: times that they were pruned",
            unit="",
            ours=float(run),
            peer_name="",
            peer=None,
            ratio=None,
            target="1",
            met=run == 1,
        ),
    ]


def _two_workers(folder: Path) -> Figure:
    times: dict[int, list[float]] = {}
    for workers in (1, 2):
        with _coordinator(folder / f"{workers}-workers", workers) as (desk, lab):
            _bring(desk, lab, folder)
            # As many at a time as in the rounds that count, so that every worker has its tools and the model.
            recipes = iter([f"int8(samples={count})" for count in range(1, 1 + (ROUNDS + 1) * CONVERSIONS)])
            rounds = [[next(recipes) for _ in range(CONVERSIONS)] for _ in range(ROUNDS + 1)]
            _built(lab, rounds[0])
            times[workers] = []
            for those in rounds[1:]:
                begin = time.perf_counter()
                _built(lab, those)
                times[workers].append(time.perf_counter() - begin)
    # The peer is what is divided by: more is better.
    ratio = statistics.median(times[1]) / statistics.median(times[2])
    return Figure(
        what=f"{CONVERSIONS} independent conversions by two workers",
        unit="s",
        ours=statistics.median(times[2]),
        peer_name="one worker",
        peer=statistics.median(times[1]),
        ratio=ratio,
        target=">= 1.6 times as fast",
        met=ratio >= 1.6,
        note="rounds: " + "; ".join(", ".join(f"{each:.2f}" for each in times[n]) for n in (2, 1)) + " s.",
    )


@contextmanager
def _coordinator(folder: Path, workers: int) -> Iterator[tuple[Desk, Lab]]:
    """With a board that has joined and is not there, so that nothing is measured."""
    folder.mkdir()
    desk = Desk(folder)
    try:
        process = desk.start(
            f"edgemeter serve --host 127.0.0.1 --port {desk.port} --fleet-port {desk.fleet_port}"
            f" --advertise 127.0.0.1 --state-dir {folder / 'coordinator'} --workers {workers}",
            "serve.log",
        )

        def answers() -> bool:
            assert process.poll() is None, desk.log("serve.log")
            return desk.run("edgemeter device ls --json").returncode == 0

        until("the coordinator answers", answers)
        desk.join()
        agent = desk.attend()
        agent.terminate()
        agent.wait(30)
        configuration = folder / "config" / "edgemeter" / "config.toml"
        with Lab(settings.resolve(environ={"EDGEMETER_CONFIG": str(configuration)})) as lab:
            yield desk, lab
    finally:
        desk.finish()


def _bring(desk: Desk, lab: Lab, folder: Path) -> None:
    fetched = zoo.fetch("cifar10-resnet", folder)
    (preprocessing,) = fetched.preprocessing
    desk.ok(f"edgemeter model add {fetched.model_path} --preprocess {preprocessing}")
    lab.add_dataset(fetched.data_path)


def _bench(lab: Lab, recipes: list[str]) -> Study:
    return lab.bench("cifar10-resnet", "cifar10-resnet", recipes=recipes, profile="quick")


def _built(lab: Lab, recipes: list[str]) -> lab_pb2.Study:
    """The study as it is when all of its variants are built."""
    study = _bench(lab, recipes)
    for seen in study.watch(timeout_s=PATIENCE_S):
        failed = [each.error for each in seen.variants if each.state == lab_pb2.VARIANT_STATE_FAILED]
        if failed:
            raise RuntimeError(failed[0])
        if all(each.state == lab_pb2.VARIANT_STATE_READY for each in seen.variants):
            study.cancel()
            return seen
    raise RuntimeError(f"study {study.name} ended as {study.state}")


def _is_queued(study: lab_pb2.Study) -> bool:
    return all(each.state == lab_pb2.VARIANT_STATE_READY for each in study.variants) and all(
        each.state == lab_pb2.JOB_STATE_QUEUED for each in study.jobs
    )
