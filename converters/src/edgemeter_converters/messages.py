"""What goes into a conversion worker and comes out of it: plain values, which pickle."""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_converters.exchange import Exchange, Given


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """An original model.

    Attributes:
        digest: of its file's content; a worker keeps the models that it loaded under it.
        file_name: what its user calls it: its suffix tells the kind of file.
        inputs: serialized `TensorSpec`s of one sample of each input, for files that don't tell.
        preprocessing: a serialized `Preprocessing` for each input, or none.
        allowed: packages whose code may run, for a model that a function makes.
        task: text of what it is for; empty for the first that fits.
    """

    digest: str
    file_name: str
    inputs: tuple[bytes, ...] = ()
    preprocessing: tuple[bytes, ...] = ()
    allowed: tuple[str, ...] = ()
    task: str = ""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every request to a worker has.

    Attributes:
        exchange: through which the worker gets blobs, and gives back what it made.
        topic: of the events that tell its progress; empty for none.
    """

    exchange: Exchange
    topic: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelRequest(Task):
    """A model to be looked at: a file, or a function that makes one.

    Attributes:
        source: its digest and file name are empty where there is a function.
        function: "package.module:function", or empty.
    """

    source: ModelSource
    function: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """What a model turned out to be.

    Attributes:
        framework: "keras", …
        task: empty where no task fits it: it can be converted and measured, but not scored.
        parameters: weights of every kind.
        macs: multiply-accumulates of one inference of one sample; 0 where they can't be counted.
        layers: serialized `LayerCount`s.
        signature: a serialized `Signature`.
        made: the file that keeps what a function returned, and its name; None for a file.
        vocabulary: digest of the tokens' vocabulary; empty for a model that takes none.
    """

    framework: str
    task: str
    parameters: int
    macs: int
    layers: tuple[bytes, ...]
    signature: bytes
    made: Given | None = None
    made_file_name: str = ""
    vocabulary: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetRequest(Task):
    """Data to be read: a file, or a function that yields splits.

    Attributes:
        digest, file_name: of the file; empty where there is a function.
        function: "package.module:function", or empty.
        reading: a serialized `DataReading`.
        allowed: packages whose code may run.
        tokenizer: the model whose tokenizer reads a text; None for other data.
    """

    digest: str = ""
    file_name: str = ""
    function: str = ""
    reading: bytes = b""
    allowed: tuple[str, ...] = ()
    tokenizer: ModelSource | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """What a dataset turned out to be.

    Attributes:
        splits: name and samples of each: "training", "calibration", "evaluation".
        inputs: serialized `TensorSpec`s of one sample, without a batch dimension.
        classes: 0 where labels are no classes, or there are none.
        labels: a serialized `TensorSpec` of one sample's; empty where there are none.
        vocabulary: digest of the vocabulary whose token ids the inputs are; empty for other inputs.
        training_digest: of the training inputs and labels.
        calibration_digest: of the calibration inputs.
        evaluation_digest: of the evaluation inputs and labels.
        canonical: the .npz that builds read.
        evaluation_inputs: .npz of the evaluation inputs: `input_0`, …, batch first, as in the data.
        evaluation_labels: .npz of their `labels`; None where there are none.
    """

    splits: tuple[tuple[str, int], ...]
    inputs: tuple[bytes, ...]
    classes: int
    training_digest: str
    calibration_digest: str
    evaluation_digest: str
    canonical: Given
    evaluation_inputs: Given
    evaluation_labels: Given | None
    labels: bytes = b""
    vocabulary: str = ""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model that earlier steps left: see `StageReport`."""

    digest: str
    file_name: str


@dataclass(frozen=True, kw_only=True)
class StageRequest(Task):
    """One step, to be carried out on a model that is not encoded yet.

    Attributes:
        stage_id: of all that its result follows from; names its checkpoints.
        model: the original.
        dataset_digest: of the canonical .npz; empty for none.
        start: what the steps before it left; None where it is the first.
        step: its canonical text.
        seed: of whatever is random.
    """

    stage_id: str
    model: ModelSource
    dataset_digest: str
    start: Start | None
    step: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """What a step left: the changed model's file and its name, a serialized `Stage`, and the files that this
    names as its attachments, in the same order."""

    made: Given
    file_name: str
    stage: bytes
    attachments: tuple[Given, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BuildRequest(Task):
    """A variant to be built.

    Attributes:
        model: the original.
        dataset_digest: of the canonical .npz; empty for none: then nothing is scored, and golden inputs are
            seeded random numbers.
        recipe: its canonical text.
        start: what the recipe's steps that change the model left; None where it has none.
        stages: a serialized `Stage` for each of them.
        seed: of whatever is random.
    """

    variant_id: str
    model: ModelSource
    dataset_digest: str
    recipe: str
    start: Start | None
    stages: tuple[bytes, ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """A variant that was built: a serialized `Manifest`, and its blobs.

    Attributes:
        compressed: the artifact's file under zstd; None where that saves too little.
        reference: .npz of what the original gives for the evaluation samples; None where it is not wanted.
    """

    manifest: bytes
    artifact: Given
    golden: Given
    compressed: Given | None = None
    reference: Given | None = None


@dataclass(frozen=True, kw_only=True)
class LayersRequest(Task):
    """A variant to be run layer by layer beside the float32 encoding of the same network.

    Attributes: as of `BuildRequest`.
        artifact_digest: of the variant's file.
    """

    model: ModelSource
    dataset_digest: str
    recipe: str
    start: Start | None
    artifact_digest: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class LayersReport:
    """Serialized `LayerError`s, in the network's order."""

    layers: tuple[bytes, ...]
