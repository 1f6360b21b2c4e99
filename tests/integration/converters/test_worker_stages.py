"""Steps that change a model, layers that are kept or compared: through a real worker process."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from edgemeter_converters.messages import (
    LayersRequest,
    ModelSource,
    StageReport,
    StageRequest,
    Start,
)
from edgemeter_converters.worker import apply_stage, inspect_layers
from edgemeter_protos.v1 import variant_pb2
from tests.integration.converters.worker_requests import DATA, Built, exchange, request, run

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]


@pytest.fixture(scope="module")
def plain(
    networks: Path, worker: ProcessPoolExecutor, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Built]:
    """The network as it is, in float32 and int8."""
    out_dir = tmp_path_factory.mktemp("plain")
    return {
        recipe: run(worker, request(networks, out_dir, recipe, "patterns.keras"))
        for recipe in ("float32", "int8")
    }


def stage(
    networks: Path, out_dir: Path, step: str, start: Start | None = None, **others: Path
) -> StageRequest:
    return StageRequest(
        exchange=exchange(networks, out_dir, "patterns.keras", **others),
        stage_id=f"stage-{step}",
        model=ModelSource(digest="patterns.keras", file_name="patterns.keras"),
        dataset_digest=DATA,
        start=start,
        step=step,
        seed=5,
    )


def test_stages_follow_each_other_and_are_encoded(
    networks: Path, worker: ProcessPoolExecutor, plain: dict[str, Built], tmp_path: Path
) -> None:
    first: StageReport = worker.submit(
        apply_stage, stage(networks, tmp_path, "prune-channels(0.3,epochs=1)")
    ).result(timeout=120)
    thin = Path(first.made.path)
    second: StageReport = worker.submit(
        apply_stage,
        stage(
            networks,
            tmp_path,
            "prune(0.5,epochs=1)",
            Start(digest="thin", file_name=first.file_name),
            thin=thin,
        ),
    ).result(timeout=120)
    stages = [variant_pb2.Stage.FromString(each.stage) for each in (first, second)]
    whole = plain["float32"].manifest
    assert stages[0].macs < 0.8 * whole.macs
    assert stages[1].parameters == stages[0].parameters < whole.parameters
    assert stages[1].non_zero_parameters < 0.6 * stages[1].parameters
    assert [each.epochs for each in stages] == [1, 1]
    recipe = "prune-channels(0.3,epochs=1)+prune(0.5,epochs=1)+int8"
    asked = dataclasses.replace(
        request(networks, tmp_path, recipe, "patterns.keras"),
        exchange=exchange(networks, tmp_path, "patterns.keras", both=Path(second.made.path)),
        start=Start(digest="both", file_name=second.file_name),
        stages=(first.stage, second.stage),
    )
    manifest = run(worker, asked).manifest
    assert list(manifest.stages) == stages
    assert manifest.macs == stages[1].macs
    # Channels' own zeros stay, and int8 rounds a few more.
    assert manifest.non_zero_parameters < 0.62 * manifest.parameters
    assert manifest.quality.value > 0.7
    assert not manifest.deterministic


def test_layers_are_kept_until_quality_drops_by_no_more_than_the_bound(
    networks: Path, worker: ProcessPoolExecutor, tmp_path: Path
) -> None:
    manifest = run(worker, request(networks, tmp_path, "int8(auto_keep=0.5%)", "patterns.keras")).manifest
    assert any("layers were left in float, chosen by" in note for note in manifest.notes)
    kept = run(worker, request(networks, tmp_path, "int8(keep=dense*)", "patterns.keras")).manifest
    assert kept.kept_layers
    assert all(name.startswith("dense") for name in kept.kept_layers)
    assert kept.size_bytes > manifest.size_bytes


def test_layers_are_compared_with_the_float32_encoding(
    networks: Path, worker: ProcessPoolExecutor, plain: dict[str, Built], tmp_path: Path
) -> None:
    asked = LayersRequest(
        exchange=exchange(
            networks, tmp_path, "patterns.keras", file=Path(plain["int8"].report.artifact.path)
        ),
        model=ModelSource(digest="patterns.keras", file_name="patterns.keras"),
        dataset_digest=DATA,
        recipe="int8@tflite",
        start=None,
        artifact_digest="file",
        seed=5,
    )
    report = worker.submit(inspect_layers, asked).result(timeout=120)
    errors = [variant_pb2.LayerError.FromString(each) for each in report.layers]
    assert len({each.layer for each in errors}) == len(errors) >= 3
    assert all(each.kind and each.error.sqnr_db > 10 for each in errors if each.error.max_absolute)
