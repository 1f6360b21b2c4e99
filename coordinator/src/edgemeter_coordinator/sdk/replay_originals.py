"""Brings a bundle's model and data to a coordinator that has not got them: from the bundle, or the zoo."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgemeter_coordinator.bundle import archive
from edgemeter_coordinator.bundle.manifest import Bundle, Bundled
from edgemeter_coordinator.sdk import upload
from edgemeter_coordinator.sdk.adding import TEXT_SUFFIX, fetched, under_a_free_name, zoo_names
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.study_watcher import Watcher
from edgemeter_protos import preprocessing
from edgemeter_protos.v1 import lab_pb2, variant_pb2

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab


def zoo_entry(name: str) -> str:
    """The zoo entry of that name: a study file's run adds models and data under it. Empty for none."""
    return name if name in zoo_names() else ""


def bring(lab: Lab, path: Path, bundle: Bundle, one: Bundled, watcher: Watcher) -> None:
    """Adds the study's model and data where the coordinator does not have their content.

    Raises EdgemeterError where a digest is nowhere to be had, or where the coordinator knows the model, and
    uses it otherwise.
    """
    model, data = one.model, one.data
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgemeter-replay-")))
        known = {each.digest: each for each in lab.models()}.get(model.digest)
        if known is None:
            file = _file(path, bundle, "model", model, one.zoo_model, folder, watcher)
            under_a_free_name(file, model.name, lambda source, name: _add_model(lab, model, source, name))
        elif _use(known) != _use(model):
            raise EdgemeterError(
                f"model {model.name} is known here for other use: {_use(known)}, and was measured with"
                f" {_use(model)}: `edgemeter model add` with --task and --preprocess changes that"
            )
        if all(each.digest != data.digest for each in lab.datasets()):
            file = _file(path, bundle, "data", data, one.zoo_data, folder, watcher)
            added = under_a_free_name(
                file, data.name, lambda source, name: _add_data(lab, one, source, name)
            ).digest
            if added != data.digest:
                raise _other_file("data", one.zoo_data, added, data.digest)


def _add_model(lab: Lab, model: lab_pb2.Model, file: Path, name: str) -> None:
    lab.add_model(
        file,
        name,
        inputs=[_input(spec) for spec in model.given_inputs],
        preprocess=[preprocessing.text(each) for each in model.preprocessing],
        task=model.task,
    )


def _add_data(lab: Lab, one: Bundled, file: Path, name: str) -> lab_pb2.Dataset:
    if file.suffix != TEXT_SUFFIX:
        return lab.add_dataset(file, name).dataset
    tokens = next((windows.shape[0] for windows in one.data.inputs if windows.shape), 0)
    return lab.add_dataset(file, name, tokenizer=one.model.digest, window_tokens=tokens).dataset


def _use(model: lab_pb2.Model) -> str:
    """What it is for, and how its inputs are made."""
    each = ", ".join(preprocessing.text(one) or "none" for one in model.preprocessing) or "none"
    return f"task {model.task or 'none'}, preprocessing {each}"


def _input(spec: variant_pb2.TensorSpec) -> str:
    return f"{spec.dtype}[{','.join(map(str, spec.shape))}]"


def _file(
    path: Path,
    bundle: Bundle,
    noun: str,
    original: lab_pb2.Model | lab_pb2.Dataset,
    zoo: str,
    folder: Path,
    watcher: Watcher,
) -> Path:
    """The content of the original's digest, with the suffix of its file: in `folder`, or the zoo's cache.

    Of the zoo also a text, whose digest is that of the token ids that adding it makes.
    """
    digest = original.digest
    if digest in bundle.files:
        file = folder / f"{noun}{PurePosixPath(original.file_name).suffix}"
        archive.extract(path, digest, file)
        return file
    if zoo in zoo_names():
        entry = fetched(zoo, watcher)
        file = entry.model_path if noun == "model" else entry.data_path
        if file.suffix != TEXT_SUFFIX and (found := upload.file_digest(file)) != digest:
            raise _other_file(noun, zoo, found, digest)
        return file
    raise EdgemeterError(
        f"{noun} {original.name} ({digest[:12]}…) is neither at the coordinator nor in the bundle: make it"
        f" with --with-files, or add the file with `edgemeter {noun} add`"
    )


def _other_file(noun: str, zoo: str, found: str, digest: str) -> EdgemeterError:
    return EdgemeterError(
        f"the zoo's {noun} {zoo} is another file here (SHA-256 {found[:12]}…, not {digest[:12]}…), since"
        " it is made on each machine: make the bundle with --with-files"
    )
