"""Studies through a real coordinator: real conversions, a board on the wire, and what users get wrong."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import jsonschema
import numpy as np
import pytest
import pytest_asyncio

from edgemeter_coordinator.report import export
from edgemeter_protos import plans
from edgemeter_protos.v1 import fleet_pb2, lab_pb2, refusal_pb2, result_pb2
from tests.integration.coordinator.lab.laboratory import Board, Laboratory, put, refused, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.needs_tensorflow]

Reason = refusal_pb2.RefusalReason


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board(laboratory: Laboratory) -> AsyncIterator[Board]:
    yield await laboratory.join(name="pi-a", labels={"rack": "a"})


async def report(
    board: Board, attempt: fleet_pb2.AttemptRef, sequence: int, variant_id: str, outputs: bytes, samples: int
) -> None:
    """A result with `outputs` as the board's, timed by made-up numbers."""
    result = result_pb2.Result(
        id=f"{attempt.job_id[:8]}-{attempt.attempt}-{sequence}",
        variant_id=variant_id,
        latency=result_pb2.Latency(
            samples=100, p50_ns=1000, p90_ns=1100, p99_ns=1200, mean_ns=1010, min_ns=990
        ),
        energy=result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER, detail="no meter on this board"),
        verdict=result_pb2.Verdict(state=result_pb2.VERDICT_STATE_VALID),
        outputs_digest=await put(board.blobs, outputs),
        evaluated_samples=samples,
    )
    await board.fleet.Report(fleet_pb2.ReportRequest(attempt=attempt, sequence=sequence, result=result))


def scores_of(labels: np.ndarray, wrong: int) -> bytes:
    """Outputs that are right for all but the first `wrong` samples."""
    told = np.array(labels)
    told[:wrong] = (told[:wrong] + 1) % 3
    file = io.BytesIO()
    np.savez(file, output_0=np.eye(3, dtype=np.float32)[told])
    return file.getvalue()


async def test_what_is_added_twice_is_known(laboratory: Laboratory, material: Path) -> None:
    again = await laboratory.add_model(material / "stripes.keras", "another name")
    assert (again.known, again.model.name) == (True, "stripes")
    assert (again.model.framework, again.model.task) == ("keras", "classification")
    assert [list(spec.shape) for spec in again.model.signature.inputs] == [[-1, 12, 12, 1]]
    assert again.model.size_bytes == (material / "stripes.keras").stat().st_size
    data = await laboratory.add_dataset(material / "stripes.npz")
    assert data.known
    splits = {split.name: split.samples for split in data.dataset.splits}
    assert splits["evaluation"] == 200


@pytest.mark.parametrize(
    ("file", "name", "reason", "said"),
    [
        pytest.param("no-model.keras", "", Reason.REFUSAL_REASON_NOT_A_MODEL, "no-model.keras", id="text"),
        pytest.param("lambda.keras", "", Reason.REFUSAL_REASON_UNSAFE_MODEL, "Lambda", id="lambda"),
        pytest.param(
            "lambda.keras", "stripes", Reason.REFUSAL_REASON_ALREADY_EXISTS, "--name", id="name of another"
        ),
    ],
)
async def test_a_bad_model_is_refused_and_not_kept(
    laboratory: Laboratory, material: Path, file: str, name: str, reason: Reason.ValueType, said: str
) -> None:
    refusal = await refused(laboratory.add_model(material / file, name))
    assert refusal.reason == reason
    assert said in refusal.message
    assert "\n" not in refusal.message
    models = await laboratory.lab.ListModels(lab_pb2.ListModelsRequest())
    assert [model.name for model in models.models] == ["stripes"]


async def test_a_model_that_was_not_uploaded_is_refused(laboratory: Laboratory) -> None:
    request = lab_pb2.AddModelRequest(digest="0" * 64, file_name="ghost.keras")
    refusal = await refused(laboratory.lab.AddModel(request))
    assert refusal.reason == refusal_pb2.REFUSAL_REASON_BLOB_MISSING


async def test_a_model_is_no_dataset(laboratory: Laboratory, material: Path) -> None:
    refusal = await refused(laboratory.add_dataset(material / "lambda.keras"))
    assert refusal.reason == refusal_pb2.REFUSAL_REASON_NOT_A_DATASET


@pytest.mark.parametrize(
    ("recipes", "fields", "reason", "said"),
    [
        pytest.param(["int9"], {}, "UNKNOWN_RECIPE", "int8", id="nearest recipe is named"),
        pytest.param(["int8", "int8@tflite"], {}, "BAD_REQUEST", "twice", id="one recipe in two spellings"),
        pytest.param([], {}, "BAD_REQUEST", "recipes", id="no recipe"),
        pytest.param(["int8"], {"model": "stripe"}, "NOT_FOUND", "stripes", id="nearest model is named"),
        pytest.param(["int8"], {"dataset": ""}, "BAD_REQUEST", "dataset", id="no data"),
        pytest.param(["int8"], {"dataset": "wide"}, "SHAPE_MISMATCH", "(16, 16, 1)", id="the data's shape"),
        pytest.param(["int8"], {"dataset": "wide"}, "SHAPE_MISMATCH", "(12, 12, 1)", id="the model's shape"),
        pytest.param(["int8"], {"devices": ["rack=b"]}, "NO_DEVICE_MATCHES", "rack=a", id="labels"),
        pytest.param(["int8"], {"devices": ["pi-b"]}, "NO_DEVICE_MATCHES", "pi-a", id="names"),
        pytest.param(
            ["int8"], {"plan": plans.resolve("quick", threads=5000)}, "BAD_REQUEST", "threads", id="plan"
        ),
        pytest.param(
            ["int8"],
            {"plan": plans.resolve("quick", require_energy=True)},
            "NO_DEVICE_MATCHES",
            "energy is required, and pi-a has no meter; nor has any other board",
            id="energy without a meter",
        ),
        pytest.param(
            ["int8"],
            {"plan": plans.resolve("quick", meter="ina3221")},
            "NO_DEVICE_MATCHES",
            "pi-a has no meter 'ina3221'",
            id="a meter that is not there",
        ),
        pytest.param(
            ["int8"],
            {"plan": plans.resolve("quick", accelerator="cuda")},
            "NO_DEVICE_MATCHES",
            "litert has cpu, xnnpack",
            id="an accelerator that is not there",
        ),
        pytest.param(
            ["int8"],
            {"plan": plans.resolve("quick", affinity_cpus=[2, 7])},
            "NO_DEVICE_MATCHES",
            "no processor 7",
            id="a processor that is not there",
        ),
    ],
)
async def test_a_bad_study_is_refused_and_nothing_is_created(
    laboratory: Laboratory,
    board: Board,
    material: Path,
    recipes: list[str],
    fields: dict[str, object],
    reason: str,
    said: str,
) -> None:
    await laboratory.add_dataset(material / "wide.npz")
    before = await laboratory.lab.ListStudies(lab_pb2.ListStudiesRequest())
    refusal = await refused(laboratory.create(*recipes, **fields))
    assert Reason.Name(refusal.reason) == f"REFUSAL_REASON_{reason}"
    assert said in refusal.message
    after = await laboratory.lab.ListStudies(lab_pb2.ListStudiesRequest())
    assert before == after


async def test_an_attached_meter_is_enough_where_energy_is_required(
    laboratory: Laboratory, board: Board
) -> None:
    meter = {"device": "pi-a", "spec": "remote:10.0.0.9:7450"}
    plan = plans.resolve("quick", require_energy=True, accelerator="xnnpack", affinity_cpus=[0])
    await laboratory.lab.AttachMeter(lab_pb2.AttachMeterRequest(**meter))
    dry = await laboratory.create("float32", plan=plan, dry_run=True)
    assert dry.plan == plan
    await laboratory.lab.DetachMeter(lab_pb2.DetachMeterRequest(**meter))
    refusal = await refused(laboratory.create("float32", plan=plan, dry_run=True))
    assert "energy is required" in refusal.message


async def test_a_plan_of_an_earlier_edgemeter_is_completed(laboratory: Laboratory, board: Board) -> None:
    earlier = plans.resolve("quick")
    earlier.ClearField("batch_size")
    earlier.ClearField("samples_per_query")
    dry = await laboratory.create("float32", plan=earlier, dry_run=True)
    assert dry.plan == plans.resolve("quick")


async def test_a_study_from_conversion_to_scored_results(
    laboratory: Laboratory, board: Board, material: Path
) -> None:
    dry = await laboratory.create("float32", "dynamic", dry_run=True)
    assert not dry.id
    assert [variant.reused for variant in dry.variants] == [False, False]
    assert [job.device_name for job in dry.jobs] == ["pi-a"]
    assert not (await laboratory.lab.ListStudies(lab_pb2.ListStudiesRequest())).studies

    study = await laboratory.create("float32", "dynamic")
    assert study.name == "stripes-1"
    assert study.state == lab_pb2.STUDY_STATE_CONVERTING
    await board.told("nudge")
    study = await laboratory.watched(study.name, lab_pb2.STUDY_STATE_MEASURING)
    assert [variant.state for variant in study.variants] == [lab_pb2.VARIANT_STATE_READY] * 2
    baseline = study.variants[0].manifest.quality
    assert baseline.metric == "top1"
    assert baseline.samples == 200

    assignment = await board.claim()
    assert [manifest.recipe for manifest in assignment.variants] == ["float32@tflite", "dynamic@tflite"]
    assert assignment.evaluation.samples == 200
    labels = np.load(material / "stripes.npz")["y_test"]
    first, second = assignment.variants
    # A board that evaluates a part is scored over that part.
    await report(board, assignment.attempt, 1, first.variant_id, scores_of(labels[:100], wrong=10), 100)
    await report(board, assignment.attempt, 2, second.variant_id, b"no outputs", 200)
    await board.end(assignment.attempt, 3)
    await laboratory.watched(study.id[:6], lab_pb2.STUDY_STATE_COMPLETED)

    good, damaged = await laboratory.results(study.id)
    assert (good.device_quality.value, good.device_quality.samples) == (0.9, 100)
    assert good.baseline_quality == baseline
    assert good.result.verdict.state == result_pb2.VERDICT_STATE_VALID
    assert damaged.result.verdict.state == result_pb2.VERDICT_STATE_DEGRADED
    assert [reason.code for reason in damaged.result.verdict.reasons] == ["outputs_unscored"]
    exported = export.exported([good, damaged])
    jsonschema.validate(exported, export.schema())
    assert exported[0]["quality"]["value"] == 0.9
    assert exported[1]["quality"]["value"] is None


async def test_a_second_study_builds_nothing(laboratory: Laboratory, board: Board) -> None:
    study = await laboratory.create("float32", "dynamic", name="again")
    assert [variant.reused for variant in study.variants] == [True, True]
    assert study.state == lab_pb2.STUDY_STATE_MEASURING
    assignment = await board.claim()
    await board.end(assignment.attempt, 1)
    refusal = await refused(laboratory.create("float32", name="again"))
    assert refusal.reason == refusal_pb2.REFUSAL_REASON_ALREADY_EXISTS


async def test_cancelling_reaches_the_board(laboratory: Laboratory, board: Board) -> None:
    study = await laboratory.create("float32")
    assignment = await board.claim()
    response = await laboratory.lab.CancelStudy(lab_pb2.CancelStudyRequest(study=study.id))
    assert response.study.state == lab_pb2.STUDY_STATE_CANCELLED
    told = await board.told("cancel")
    assert told.cancel.attempt == assignment.attempt
    ended = await laboratory.watched(study.id, lab_pb2.STUDY_STATE_CANCELLED)
    assert [job.state for job in ended.jobs] == [lab_pb2.JOB_STATE_CANCELLED]
    # Once more changes nothing.
    again = await laboratory.lab.CancelStudy(lab_pb2.CancelStudyRequest(study=study.id))
    assert again.study.ended_at_unix_ms == ended.ended_at_unix_ms


async def test_cancelling_stops_a_conversion_that_nobody_else_wants(
    laboratory: Laboratory, board: Board
) -> None:
    wanted = await laboratory.create("float16")
    unwanted = await laboratory.create("float16", "int8", "int16x8")
    await laboratory.lab.CancelStudy(lab_pb2.CancelStudyRequest(study=unwanted.id))
    study = await laboratory.study(unwanted.id)
    assert [variant.error for variant in study.variants] == ["", *["the study was cancelled"] * 2]
    await laboratory.watched(wanted.id, lab_pb2.STUDY_STATE_MEASURING)
    # What was given up is built when it is wanted again.
    later = await laboratory.create("int8")
    ready = await laboratory.watched(later.id, lab_pb2.STUDY_STATE_MEASURING)
    assert ready.variants[0].state == lab_pb2.VARIANT_STATE_READY


async def test_devices_and_tokens_are_listed(laboratory: Laboratory, board: Board) -> None:
    devices = await laboratory.lab.ListDevices(lab_pb2.ListDevicesRequest(devices=["rack=a"]))
    assert [(device.name, device.attached) for device in devices.devices] == [("pi-a", True)]
    refusal = await refused(laboratory.lab.ListDevices(lab_pb2.ListDevicesRequest(devices=["rack=z"])))
    assert refusal.reason == refusal_pb2.REFUSAL_REASON_NO_DEVICE_MATCHES
    made = await laboratory.lab.CreateUserToken(lab_pb2.CreateUserTokenRequest(user="ada"))
    tokens = await laboratory.lab.ListTokens(lab_pb2.ListTokensRequest())
    assert made.token not in str(tokens)
    assert "ada" in {token.user for token in tokens.tokens}
    request = lab_pb2.CreateJoinTokenRequest(labels={"a=b": "c"})
    assert (
        await refused(laboratory.lab.CreateJoinToken(request))
    ).reason == Reason.REFUSAL_REASON_BAD_REQUEST
    about = await laboratory.lab.GetCoordinator(lab_pb2.GetCoordinatorRequest())
    assert about.ca_fingerprint == laboratory.coordinator.ca_fingerprint
    recipes = await laboratory.lab.ListRecipes(lab_pb2.ListRecipesRequest())
    assert {"float32", "int8", "prune(0.5)"} <= {recipe.text for recipe in recipes.recipes}


async def test_a_watcher_is_let_go_when_the_call_ends(laboratory: Laboratory, board: Board) -> None:
    study = await laboratory.create("float32")
    call = laboratory.lab.WatchStudy(lab_pb2.WatchStudyRequest(study=study.id))
    first = await call.read()
    assert isinstance(first, lab_pb2.WatchStudyResponse)
    assert first.study.id == study.id
    call.cancel()

    async def read_again() -> bool:
        return (await laboratory.study(study.id)).id == study.id

    await until("the coordinator still answers", read_again)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in laboratory.lab.WatchStudy(lab_pb2.WatchStudyRequest(study="no such study")):
            pass
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
