"""What the tests ask of a worker."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgemeter_converters.exchange import SharedFolder
from edgemeter_converters.messages import BuildReport, BuildRequest, ModelReport, ModelRequest, ModelSource
from edgemeter_converters.worker import build_variant, inspect_model
from edgemeter_protos.v1 import variant_pb2


@dataclass(frozen=True, kw_only=True)
class Built:
    report: BuildReport
    manifest: variant_pb2.Manifest


DATA = "data"


def exchange(networks: Path, out_dir: Path, model: str, **others: Path) -> SharedFolder:
    """The files under the names that a blob store would give them: no suffix."""
    blob = out_dir / hashlib.sha256(model.encode()).hexdigest()
    if not blob.exists():
        shutil.copy(networks / model, blob)
    paths = {model: str(blob), DATA: str(networks / "patterns.npz")}
    paths |= {digest: str(path) for digest, path in others.items()}
    return SharedFolder(paths=paths, folder=str(out_dir), checkpoints=str(out_dir / "checkpoints"))


def request(networks: Path, out_dir: Path, recipe: str, model: str, *, data: bool = True) -> BuildRequest:
    return BuildRequest(
        exchange=exchange(networks, out_dir, model),
        variant_id=f"{recipe}-of-{Path(model).stem}",
        model=ModelSource(digest=model, file_name=model),
        dataset_digest=DATA if data else "",
        recipe=recipe,
        start=None,
        stages=(),
        seed=5,
    )


def inspected(
    worker: ProcessPoolExecutor, blobs: SharedFolder, digest: str, file_name: str = ""
) -> ModelReport:
    source = ModelSource(digest=digest, file_name=file_name or digest)
    return worker.submit(inspect_model, ModelRequest(exchange=blobs, source=source)).result(timeout=60)


def run(worker: ProcessPoolExecutor, asked: BuildRequest) -> Built:
    report = worker.submit(build_variant, asked).result(timeout=120)
    return Built(report=report, manifest=variant_pb2.Manifest.FromString(report.manifest))
