"""What goes into a conversion worker and comes out of it: plain values and paths, which pickle."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """What a model turned out to be.

    Attributes:
        framework: "keras", …
        task: empty where no task fits it: it can be converted and measured, but not scored.
        parameters: weights of every kind.
        signature: a serialized `Signature`.
    """

    framework: str
    task: str
    parameters: int
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """What a dataset turned out to be.

    Attributes:
        splits: name and samples of each: "training", "calibration", "evaluation".
        inputs: serialized `TensorSpec`s of one sample, without a batch dimension.
        classes: 0 where it has no labels.
        calibration_digest: of the calibration inputs.
        evaluation_digest: of the evaluation inputs and labels.
        inputs_path: .npz of the evaluation inputs: `input_0`, …, batch first, as in the data.
        labels_path: .npz of their `labels`, int64; empty where there are none.
    """

    splits: tuple[tuple[str, int], ...]
    inputs: tuple[bytes, ...]
    classes: int
    calibration_digest: str
    evaluation_digest: str
    inputs_path: str
    labels_path: str


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """A variant to be built.

    Attributes:
        model_digest: of the content at `model_path`; a worker keeps the models that it loaded under it.
        model_file_name, dataset_file_name: what their users call them: suffixes tell the kinds of file.
        dataset_path: empty for none: then nothing is scored, and golden inputs are seeded random numbers.
        recipe: its text.
        seed: of whatever is random.
        out_dir: an existing folder; artifact, golden pair and log are written into it, named by the variant.
    """

    variant_id: str
    model_path: str
    model_digest: str
    model_file_name: str
    dataset_path: str
    dataset_file_name: str
    recipe: str
    seed: int
    out_dir: str


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """A variant that was built: a serialized `Manifest`, and where its two blobs are."""

    manifest: bytes
    artifact_path: str
    golden_path: str
