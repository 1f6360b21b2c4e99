"""What a user can ask of a coordinator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc

from edgemeter_coordinator.sdk import data_source, download, model_source, submitting, upload
from edgemeter_coordinator.sdk.channel import open_channel, translate
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.plan import PlanValue, resolve_plan
from edgemeter_coordinator.sdk.settings import Settings
from edgemeter_coordinator.sdk.study import Study
from edgemeter_coordinator.sdk.study_watcher import Outcome, Watcher
from edgemeter_coordinator.sdk.submitting import UploadProgress
from edgemeter_coordinator.sdk.upload import Progress
from edgemeter_protos import preprocessing
from edgemeter_protos.v1 import lab_pb2, lab_pb2_grpc, variant_pb2

_TIMEOUT_S = 60.0
# A conversion worker is started for it, and imports its framework.
_LOAD_TIMEOUT_S = 600.0
# Fine-tuning may take long; one who does not want to wait presses Ctrl-C, which stops it.
_BUILD_TIMEOUT_S = 24 * 3600.0

Request = TypeVar("Request")
Response = TypeVar("Response")


class Lab:
    """A connection to a coordinator. Every method may raise Unreachable and Refused."""

    def __init__(self, settings: Settings) -> None:
        self.address = settings.address
        self._channel = open_channel(settings)
        self.stub = lab_pb2_grpc.LabStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self, method: Callable[..., Response], request: Request, timeout_s: float = _TIMEOUT_S
    ) -> Response:
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise translate(error, self.address) from error

    def coordinator(self) -> lab_pb2.GetCoordinatorResponse:
        """Its version, its CA's fingerprint, and who we are to it."""
        return self._call(self.stub.GetCoordinator, lab_pb2.GetCoordinatorRequest())

    # Models and data.

    def models(self) -> list[lab_pb2.Model]:
        return list(self._call(self.stub.ListModels, lab_pb2.ListModelsRequest()).models)

    def model(self, reference: str) -> lab_pb2.GetModelResponse:
        """One model, by name, digest or the start of a digest, and which recipes suit it."""
        return self._call(self.stub.GetModel, lab_pb2.GetModelRequest(model=reference), _LOAD_TIMEOUT_S)

    def add_model(
        self,
        source: str | Path,
        name: str | None = None,
        *,
        inputs: Iterable[str] = (),
        preprocess: Iterable[str] = (),
        task: str = "",
        progress: Progress | None = None,
    ) -> lab_pb2.AddModelResponse:
        """Uploads a model, unless the coordinator has it, and has it loaded there, safely.

        Its name is the file's stem where none is given; `known` in the answer tells that it was there
        before. A SavedModel's folder is packed and sent as one file. A function, "package.module:function",
        is called by the coordinator, where its operator allows the package.

        Args:
            inputs: "float32[3,32,32]" for each input, of one sample; for files that don't tell.
            preprocess: "scale=1/255,mean=0.5,std=0.5,layout=nchw" for each input, or none.
            task: what it is for: "classification", "detection(centernet)"; else the first that fits.

        Raises EdgemeterError; Refused with NOT_A_MODEL or UNSAFE_MODEL, or ALREADY_EXISTS where another
        model has the name.
        """
        try:
            each = [preprocessing.parse(text) for text in preprocess]
        except ValueError as error:
            raise EdgemeterError(f"preprocessing: {error}") from error
        request = lab_pb2.AddModelRequest(
            inputs=[model_source.input_spec(text) for text in inputs], preprocessing=each, task=task
        )
        submitting.name_source(
            request, source, name, as_file=model_source.as_file, send=partial(self.upload, progress=progress)
        )
        return self._call(self.stub.AddModel, request, _LOAD_TIMEOUT_S)

    def datasets(self) -> list[lab_pb2.Dataset]:
        return list(self._call(self.stub.ListDatasets, lab_pb2.ListDatasetsRequest()).datasets)

    def add_dataset(
        self,
        source: str | Path,
        name: str | None = None,
        *,
        image_size: tuple[int, int] | None = None,
        input_columns: Iterable[str] = (),
        label_column: str | None = None,
        tokenizer: str = "",
        window_tokens: int = 0,
        progress: Progress | None = None,
    ) -> lab_pb2.AddDatasetResponse:
        """As add_model, for data: a file, a folder, or "package.module:function".

        A folder, of class folders of pictures or of .parquet and .arrow files, is packed and sent as one
        file. A function is called by the coordinator, where its operator allows the package.

        Args:
            image_size: height and width that pictures are brought to, where they differ.
            input_columns: of a table; all but the label's where none is given.
            label_column: of a table; "label" where none is given.
            tokenizer: of a text: the model, by name or digest, whose tokenizer makes token ids of it.
            window_tokens: of a text: tokens of one sample; 0 for 256.

        Raises EdgemeterError for a folder without data; Refused with NOT_A_DATASET, ALREADY_EXISTS, or
        UNSAFE_MODEL where a function's package is not allowed.
        """
        height, width = image_size or (0, 0)
        request = lab_pb2.AddDatasetRequest(
            reading=lab_pb2.DataReading(
                image_height=height,
                image_width=width,
                input_columns=input_columns,
                label_column=label_column or "",
                tokenizer_model=tokenizer,
                window_tokens=window_tokens,
            )
        )
        submitting.name_source(
            request, source, name, as_file=data_source.as_file, send=partial(self.upload, progress=progress)
        )
        return self._call(self.stub.AddDataset, request, _LOAD_TIMEOUT_S)

    def recipes(self) -> list[lab_pb2.Recipe]:
        return list(self._call(self.stub.ListRecipes, lab_pb2.ListRecipesRequest()).recipes)

    # Variants.

    def variants(self, model: str = "", *, limit: int = 0) -> list[lab_pb2.Variant]:
        """Newest first, of one model or of all; 0 for the coordinator's usual number."""
        request = lab_pb2.ListVariantsRequest(model=model, limit=limit)
        return list(self._call(self.stub.ListVariants, request).variants)

    def variant(self, reference: str) -> lab_pb2.Variant:
        """By id or the start of an id."""
        return self._call(self.stub.GetVariant, lab_pb2.GetVariantRequest(variant=reference)).variant

    def rebuild_variant(self, reference: str) -> lab_pb2.RebuildVariantResponse:
        """Builds a variant again from its original, and says whether the same file came out; nothing of it
        is kept. Takes as long as the first time."""
        request = lab_pb2.RebuildVariantRequest(variant=reference)
        return self._call(self.stub.RebuildVariant, request, _BUILD_TIMEOUT_S)

    def inspect_layers(self, reference: str) -> list[variant_pb2.LayerError]:
        """How far each layer of a variant is from the float32 encoding of the same network."""
        request = lab_pb2.InspectLayersRequest(variant=reference)
        return list(self._call(self.stub.InspectLayers, request, _BUILD_TIMEOUT_S).layers)

    # Studies.

    def bench(
        self,
        model: str | Path,
        data: str | Path | None = None,
        *,
        recipes: Iterable[str],
        devices: Iterable[str] = ("all",),
        profile: str | None = None,
        plan_file: str | Path | None = None,
        name: str | None = None,
        dry_run: bool = False,
        progress: UploadProgress | None = None,
        **plan: PlanValue,
    ) -> Study:
        """Submits a study: `model` by each of `recipes` on each of `devices`.

        `model` and `data` are what `add_model` and `add_dataset` take, uploaded where the coordinator
        doesn't have them, or names or digests that it knows. The first recipe is the baseline. A device is
        "LABEL=VALUE", a name, an id or "all".

        `plan` replaces numbers of the profile, by the names of the message Plan: `threads=2,
        scenario="offline"`; it outdoes the TOML file `plan_file`, which may also name the profile. That is
        "standard" where nothing names one. With `dry_run` the coordinator checks and plans, and creates no
        study.

        Raises EdgemeterError for a bad plan or an unknown file; Refused.
        """
        resolved = resolve_plan(profile, plan, plan_file)
        model_ref = submitting.model(self, model, progress)
        data_ref = "" if data is None else submitting.dataset(self, data, progress)
        request = lab_pb2.CreateStudyRequest(
            name=name or "",
            model=model_ref,
            dataset=data_ref,
            recipes=list(recipes),
            devices=list(devices),
            plan=resolved,
            dry_run=dry_run,
        )
        return self.create_study(request)

    def create_study(self, request: lab_pb2.CreateStudyRequest) -> Study:
        """As `bench`, of a model and data that are there, with a plan whose numbers are all resolved."""
        return Study(self, self._call(self.stub.CreateStudy, request, _LOAD_TIMEOUT_S).study)

    def run_study_file(
        self,
        path: str | Path,
        *,
        devices: Iterable[str] = ("all",),
        quick: bool = False,
        only: Iterable[str] = (),
        name: str | None = None,
        profile: str | None = None,
        keep_failed: bool = False,
        watcher: Watcher | None = None,
        **plan: PlanValue,
    ) -> list[Outcome]:
        """Runs a study file (docs/study-files.md): a study a part, one after the other, and waits for each.

        What an earlier run of the same file made is not made again; where a part fails the others go on.

        Args:
            quick: only what the file keeps for a quick run.
            only: names of parts; all where there is none.
            name: what the studies' names begin with; the file's own where left out.
            keep_failed: take parts that failed earlier as they are.
            watcher: is told of everything while it goes on.
            plan: replaces numbers of every part's plan, as in `bench`.

        Raises EdgemeterError for what is wrong with the file, Refused where no device matches, Unreachable.
        """
        from edgemeter_coordinator.sdk import study_run
        from edgemeter_coordinator.study_file import reading, wanted

        file = reading.read(path)
        return study_run.run(
            self,
            file,
            wanted.wanted(file, quick=quick, only=tuple(only), profile=profile, overrides=plan),
            name=wanted.run_name(file, quick=quick, asked=name),
            devices=devices,
            keep_failed=keep_failed,
            watcher=watcher or Watcher(),
        )

    def studies(self, limit: int = 0, *, part_of: str = "") -> list[Study]:
        """Newest first; 0 for the coordinator's usual number. With `part_of` only the parts of that study
        file: those whose name is this, a slash, and more."""
        request = lab_pb2.ListStudiesRequest(limit=limit, part_of=part_of)
        response = self._call(self.stub.ListStudies, request)
        return [Study(self, study) for study in response.studies]

    def study(self, reference: str) -> Study:
        """By id, name, or the start of an id."""
        return Study(self, self.get_study(reference))

    def get_study(self, reference: str) -> lab_pb2.Study:
        return self._call(self.stub.GetStudy, lab_pb2.GetStudyRequest(study=reference)).study

    def cancel_study(self, reference: str) -> lab_pb2.Study:
        return self._call(self.stub.CancelStudy, lab_pb2.CancelStudyRequest(study=reference)).study

    def list_results(
        self, reference: str, *, include_late: bool = False
    ) -> list[lab_pb2.ListResultsResponse]:
        """One a variant and device; `include_late` adds those of attempts that had lost their job."""
        request = lab_pb2.ListResultsRequest(study=reference, include_late=include_late)
        return self._call(lambda *args, **kwargs: list(self.stub.ListResults(*args, **kwargs)), request)

    def upload(self, path: str | Path, *, progress: Progress | None = None) -> str:
        """Puts a file's content at the coordinator, unless it is there, and returns its digest.

        Raises EdgemeterError for a file that can't be read, and Refused.
        """
        return upload.upload(Path(path), channel=self._channel, address=self.address, progress=progress)

    def download(self, digest: str, to: Path) -> None:
        """Writes a blob (a result's samples, outputs or power trace) to a file, whole or not at all.

        Raises EdgemeterError where it can't be written, and Refused.
        """
        download.download(digest, to, channel=self._channel, address=self.address)

    # Devices and tokens.

    def devices(self, selectors: Iterable[str] = ()) -> list[lab_pb2.Device]:
        """Those that match any of `selectors`, which are as in `bench`; all where there is none."""
        request = lab_pb2.ListDevicesRequest(devices=list(selectors))
        return list(self._call(self.stub.ListDevices, request).devices)

    def device(self, reference: str) -> lab_pb2.Device:
        """By name or id. Raises EdgemeterError where a label is given that several have."""
        found = self.devices([reference])
        if len(found) != 1:
            names = ", ".join(one.name for one in found)
            raise EdgemeterError(f"{reference!r} means {names}: name one of them")
        return found[0]

    def attach_meter(self, device: str, spec: str) -> lab_pb2.Device:
        """From its next job on, a board reads the meter `spec` ("remote:HOST:PORT", "shelly:HOST", …) beside
        its own. Whether there is such a meter only the board can tell."""
        request = lab_pb2.AttachMeterRequest(device=device, spec=spec)
        return self._call(self.stub.AttachMeter, request).device

    def detach_meter(self, device: str, spec: str) -> lab_pb2.Device:
        """Undoes `attach_meter`."""
        request = lab_pb2.DetachMeterRequest(device=device, spec=spec)
        return self._call(self.stub.DetachMeter, request).device

    def new_join_token(
        self, labels: Mapping[str, str] | None = None, *, uses: int = 1, ttl_s: int = 3600
    ) -> lab_pb2.CreateJoinTokenResponse:
        """A token that lets `uses` boards join within `ttl_s`; they get `labels`."""
        request = lab_pb2.CreateJoinTokenRequest(labels=dict(labels or {}), uses=uses, ttl_s=ttl_s)
        return self._call(self.stub.CreateJoinToken, request)

    def new_user_token(self, user: str, *, ttl_s: int = 0) -> str:
        """A token for a person or a program; 0 for one that doesn't expire."""
        request = lab_pb2.CreateUserTokenRequest(user=user, ttl_s=ttl_s)
        return self._call(self.stub.CreateUserToken, request).token

    def tokens(self) -> list[lab_pb2.TokenInfo]:
        """What is known of the tokens, never the tokens themselves: they are stored hashed."""
        return list(self._call(self.stub.ListTokens, lab_pb2.ListTokensRequest()).tokens)
