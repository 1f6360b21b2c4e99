"""Steps that train, through a real coordinator: shared, resumed, cancelled, built again."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from edgemeter_agent.compression import find_decompressor
from edgemeter_protos.v1 import lab_pb2, refusal_pb2, variant_pb2
from tests.integration.coordinator.lab.laboratory import Laboratory, put, refused, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.needs_tensorflow]

Reason = refusal_pb2.RefusalReason

SHARED = "prune(0.5,epochs=4)"
MADE = "tests.integration.coordinator.lab.made"

LONG = "prune(0.9,epochs=1000)"
"""Minutes of training: it is met in the middle."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def laboratory(tmp_path_factory: pytest.TempPathFactory, material: Path) -> AsyncIterator[Laboratory]:
    laboratory = await Laboratory(
        tmp_path_factory.mktemp("coordinator"), workers=2, allow_code=(MADE,)
    ).start()
    try:
        await laboratory.add_model(material / "stripes.keras")
        await laboratory.add_dataset(material / "stripes.npz")
        await laboratory.join(name="pi-a", labels={})
        yield laboratory
    finally:
        await laboratory.stop()


async def ready(laboratory: Laboratory, *recipes: str) -> list[variant_pb2.Manifest]:
    """The manifests of a study of these, once they are built."""
    study = await laboratory.create(*recipes)
    study = await laboratory.watched(study.id, lab_pb2.STUDY_STATE_MEASURING)
    assert [variant.error for variant in study.variants] == [""] * len(recipes)
    return [variant.manifest for variant in study.variants]


async def training(laboratory: Laboratory, study_id: str) -> str:
    """The phase of a study's variant that trains, once it has begun with an epoch that is not the first."""
    phase = ""

    async def trains() -> bool:
        nonlocal phase
        shown = await laboratory.study(study_id)
        phase = next((each.phase for each in shown.variants if "fine-tuning, epoch" in each.phase), "")
        return bool(phase) and "epoch 1 of" not in phase

    await until("training", trains)
    return phase


def epoch(phase: str) -> int:
    return int(phase.partition("epoch ")[2].partition(" ")[0])


def checkpoints(laboratory: Laboratory) -> list[Path]:
    return list((laboratory.state_dir / "checkpoints").glob("*/*.checkpoint"))


async def test_a_dry_run_knows_no_price_before_anything_was_built(laboratory: Laboratory) -> None:
    dry = await laboratory.create(SHARED, dry_run=True)
    assert not dry.variants[0].HasField("estimated_duration_ms")
    assert dry.variants[0].reused_steps == ""


async def test_a_training_that_two_recipes_begin_with_runs_once(laboratory: Laboratory) -> None:
    study = await laboratory.create(SHARED, f"{SHARED}+int8")
    study = await laboratory.watched(study.id, lab_pb2.STUDY_STATE_MEASURING)
    pruned, quantized = (variant.manifest for variant in study.variants)
    counts = laboratory.coordinator.conversion.counts
    assert (counts.run, counts.shared + counts.found) == (1, 1)
    assert [each.stages[0].step for each in (pruned, quantized)] == [SHARED, SHARED]
    assert [each.stages[0].reused for each in (pruned, quantized)].count(True) == 1
    assert pruned.stages[0].epochs == 4
    # Counted in the files that came out, of the weights that one training left.
    assert pruned.non_zero_parameters == quantized.non_zero_parameters < 0.6 * pruned.parameters
    assert checkpoints(laboratory) == []


async def test_a_file_is_kept_as_it_travels(laboratory: Laboratory) -> None:
    """A board that can decompress gets the same file from less."""
    (study,) = (await laboratory.lab.ListStudies(lab_pb2.ListStudiesRequest())).studies
    kept = 0
    for variant in (await laboratory.study(study.id)).variants:
        manifest = variant.manifest
        artifact = blob(laboratory, manifest.artifact_digest)
        offered = manifest.compressed_size_bytes <= 0.95 * manifest.size_bytes
        assert bool(manifest.compressed_digest) == offered
        if offered:
            kept += 1
            compressed = blob(laboratory, manifest.compressed_digest)
            assert len(compressed) == manifest.compressed_size_bytes
            decompressor = find_decompressor()
            assert decompressor is not None
            chunks = decompressor.chunks(io.BytesIO(compressed), size_bytes=manifest.size_bytes)
            assert b"".join(chunks) == artifact
    assert kept, "nothing that was built is worth compressing: choose another recipe"


def blob(laboratory: Laboratory, digest: str) -> bytes:
    return (laboratory.state_dir / "blobs" / digest[:2] / digest).read_bytes()


async def test_the_plan_has_a_price(laboratory: Laboratory) -> None:
    dry = await laboratory.create(
        SHARED, f"{SHARED}+float16", "prune(0.7,epochs=1)", "prune(0.7,epochs=1)+int8", dry_run=True
    )
    built, begun, new, shared = dry.variants
    assert built.reused
    assert not built.HasField("estimated_duration_ms")
    # Its beginning is kept, and nothing like its encoding was ever done.
    assert begun.reused_steps == SHARED
    assert not begun.HasField("estimated_duration_ms")
    # What two share is paid by the first.
    assert new.reused_steps == shared.reused_steps == ""
    assert new.estimated_duration_ms > 0
    assert shared.estimated_duration_ms > 0
    trained_ms = built.manifest.stages[0].duration_ns / 1e6
    encoded_ms = built.manifest.conversion_duration_ns / 1e6
    assert new.estimated_duration_ms == pytest.approx(trained_ms + encoded_ms, abs=1)
    # Nothing was created by it.
    newest = await laboratory.lab.ListStudies(lab_pb2.ListStudiesRequest())
    assert len(newest.studies) == 1


async def test_a_variant_is_shown_built_again_and_taken_apart(laboratory: Laboratory) -> None:
    listed = await laboratory.lab.ListVariants(lab_pb2.ListVariantsRequest(model="stripes"))
    variant = next(each for each in listed.variants if each.recipe == f"{SHARED}+int8@tflite")
    shown = await laboratory.lab.GetVariant(lab_pb2.GetVariantRequest(variant=variant.id[:10]))
    assert shown.variant == variant
    assert (variant.model_name, variant.dataset_name) == ("stripes", "stripes")
    run_before = laboratory.coordinator.conversion.counts.run
    again = await laboratory.lab.RebuildVariant(lab_pb2.RebuildVariantRequest(variant=variant.id))
    assert again.same == (again.rebuilt.artifact_digest == variant.manifest.artifact_digest)
    # Trained anew, with one thread and one seed, on one machine.
    assert again.same
    assert not any(stage.reused for stage in again.rebuilt.stages)
    assert laboratory.coordinator.conversion.counts.run == run_before
    assert checkpoints(laboratory) == []
    layers = await laboratory.lab.InspectLayers(lab_pb2.InspectLayersRequest(variant=variant.id))
    assert "CONV_2D" in {layer.kind for layer in layers.layers}
    assert all(layer.error.samples > 0 for layer in layers.layers)
    refusal = await refused(laboratory.lab.GetVariant(lab_pb2.GetVariantRequest(variant="ffffffffffff")))
    assert refusal.reason == Reason.REFUSAL_REASON_NOT_FOUND
    assert "edgemeter variant ls" in refusal.message


async def test_a_model_is_told_of_with_what_suits_it(laboratory: Laboratory) -> None:
    found = await laboratory.lab.GetModel(lab_pb2.GetModelRequest(model="stripes"))
    assert found.model.macs == 80976
    assert {(each.kind, each.count) for each in found.model.layers} >= {("Conv2D", 2), ("Dense", 1)}
    assert found.model.trainable
    answers = {each.recipe: each for each in found.recipes}
    assert answers["prune(0.5)@tflite"].applies
    assert answers["prune(0.5)@tflite"].reason == "needs training samples"


@pytest.mark.parametrize(
    ("recipes", "reason", "said"),
    [
        pytest.param(["int8@torchscript"], "UNKNOWN_RECIPE", "trace", id="no way from the framework"),
        pytest.param(["prune(1.5)"], "UNKNOWN_RECIPE", "1.5", id="ratio out of range"),
        pytest.param(["int8+prune(0.5)"], "UNKNOWN_RECIPE", "'int8'", id="steps that can't combine"),
    ],
)
async def test_what_can_not_be_built_is_refused_before_anything_is(
    laboratory: Laboratory, recipes: list[str], reason: str, said: str
) -> None:
    refusal = await refused(laboratory.create(*recipes))
    assert Reason.Name(refusal.reason) == f"REFUSAL_REASON_{reason}"
    assert said in refusal.message
    assert "\n" not in refusal.message


async def test_preprocessing_must_fit_the_model(laboratory: Laboratory, material: Path) -> None:
    digest = await put(laboratory.blobs, (material / "stripes.keras").read_bytes())

    def asked(*each: variant_pb2.Preprocessing) -> lab_pb2.AddModelRequest:
        return lab_pb2.AddModelRequest(digest=digest, file_name="stripes.keras", preprocessing=each)

    for each, reason, said in (
        ((variant_pb2.Preprocessing(std=[0.0]),), "BAD_REQUEST", "divides by zero"),
        ((variant_pb2.Preprocessing(scale=2), variant_pb2.Preprocessing()), "BAD_REQUEST", "for 2 inputs"),
        ((variant_pb2.Preprocessing(mean=[1, 2, 3]),), "SHAPE_MISMATCH", "3 numbers"),
    ):
        refusal = await refused(laboratory.lab.AddModel(asked(*each)))
        assert Reason.Name(refusal.reason) == f"REFUSAL_REASON_{reason}"
        assert said in refusal.message


async def test_a_function_is_not_called_where_its_package_is_not_allowed(laboratory: Laboratory) -> None:
    request = lab_pb2.AddModelRequest(function="torch.nn:Identity")
    refusal = await refused(laboratory.lab.AddModel(request))
    assert refusal.reason == Reason.REFUSAL_REASON_UNSAFE_MODEL
    assert "--allow-code" in refusal.message


async def test_what_an_earlier_edgemeter_added_is_looked_at_when_it_is_needed(
    laboratory: Laboratory,
) -> None:
    state = sqlite3.connect(laboratory.state_dir / "edgemeter.db")
    with state:
        before = state.execute("SELECT training_digest, canonical_blob FROM datasets").fetchall()
        state.execute("UPDATE datasets SET training_digest = NULL, canonical_blob = NULL")
        state.execute("UPDATE models SET description = NULL")
    dry = await laboratory.create("float32", dry_run=True)
    assert dry.variants[0].recipe == "float32@tflite"
    assert state.execute("SELECT training_digest FROM datasets").fetchall() == [(None,)]
    # A training needs to know its samples, and a model is shown with its layers.
    dry = await laboratory.create(SHARED, dry_run=True)
    assert dry.variants[0].reused
    assert state.execute("SELECT training_digest, canonical_blob FROM datasets").fetchall() == before
    found = await laboratory.lab.GetModel(lab_pb2.GetModelRequest(model="stripes"))
    assert found.model.macs == 80976
    state.close()


@pytest.mark.needs_torch
async def test_functions_make_models_and_data(laboratory: Laboratory) -> None:
    request = lab_pb2.AddModelRequest(
        function=f"{MADE}:net", preprocessing=[variant_pb2.Preprocessing(scale=0.5)]
    )
    added = await laboratory.lab.AddModel(request)
    assert (added.known, added.model.name, added.model.framework) == (False, "net", "torch")
    assert [list(spec.shape) for spec in added.model.signature.inputs] == [[-1, 4]]
    assert added.model.parameters == 4 * 3 + 3
    assert added.model.trainable
    # The same weights are the same model, whenever it is called.
    again = await laboratory.lab.AddModel(request)
    assert (again.known, again.model.digest) == (True, added.model.digest)
    data = await laboratory.lab.AddDataset(lab_pb2.AddDatasetRequest(function=f"{MADE}:splits", name="made"))
    assert {split.name: split.samples for split in data.dataset.splits}["evaluation"] == 20
    assert data.dataset.classes == 3
    dry = await laboratory.create("prune(0.5)+int8", model="net", dataset="made", dry_run=True)
    assert dry.variants[0].recipe == "prune(0.5)+int8@tflite"


async def test_cancelling_stops_a_training_that_nobody_else_waits_for(laboratory: Laboratory) -> None:
    first = await laboratory.create(f"{LONG}+float16")
    second = await laboratory.create(f"{LONG}+dynamic")
    phase = await training(laboratory, first.id)
    (shown,) = (await laboratory.study(first.id)).variants
    # The training is half of what is to be done: the file is still to be written.
    assert 0 < shown.fraction < 0.5
    await laboratory.lab.CancelStudy(lab_pb2.CancelStudyRequest(study=first.id))
    cancelled = await laboratory.study(first.id)
    assert cancelled.variants[0].error == "the study was cancelled"

    async def goes_on() -> bool:
        return epoch(await training(laboratory, second.id)) > epoch(phase) + 1

    await until("the training goes on for the other study", goes_on)
    at_it = max(laboratory.worker_processes(), key=lambda process: process.cpu_percent(0.5))
    await laboratory.lab.CancelStudy(lab_pb2.CancelStudyRequest(study=second.id))
    await until("the end of the worker that trained", lambda: not at_it.is_running())
    assert (await laboratory.study(second.id)).state == lab_pb2.STUDY_STATE_CANCELLED


async def test_a_training_survives_its_worker_and_its_coordinator(laboratory: Laboratory) -> None:
    recipe = "prune(0.8,epochs=100)"
    earlier = set(checkpoints(laboratory))
    study = await laboratory.create(f"{recipe}+float16", "float16")
    phase = await training(laboratory, study.id)
    await until("a checkpoint", lambda: set(checkpoints(laboratory)) - earlier)
    for process in laboratory.worker_processes():
        process.kill()
    # Its successor goes on from there.
    phase = await training(laboratory, study.id)
    await laboratory.stop()
    assert set(checkpoints(laboratory)) - earlier
    await laboratory.start()
    study = await laboratory.watched(study.id, lab_pb2.STUDY_STATE_MEASURING)
    assert epoch(phase) > 1
    assert [variant.state for variant in study.variants] == [lab_pb2.VARIANT_STATE_READY] * 2
    manifest = study.variants[0].manifest
    assert manifest.stages[0].epochs == 100
    assert manifest.stages[0].reused is False
    assert set(checkpoints(laboratory)) == earlier
    # What was trained before the restart is found after it.
    (found,) = await ready(laboratory, f"{SHARED}+dynamic")
    assert found.stages[0].reused
    assert laboratory.coordinator.conversion.counts.found == 1
