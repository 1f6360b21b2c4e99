"""Bringing a bundle's originals to a coordinator that has not got them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgemeter_coordinator.bundle.manifest import Bundle, Bundled
from edgemeter_coordinator.sdk import replay_originals
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.lab import Lab
from edgemeter_coordinator.sdk.settings import Settings, resolve
from edgemeter_coordinator.sdk.study_watcher import Watcher
from edgemeter_protos.v1 import lab_pb2
from tests import tiny_llama
from tests.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.needs_torch]

TEXT = (Path(__file__).parents[4] / "docs" / "measuring.md").read_text()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Where a second coordinator is found, which knows nothing."""
    desk = Desk(tmp_path_factory.mktemp("elsewhere"))
    try:
        desk.serve()
        config = desk.folder / "config" / "edgemeter" / "config.toml"
        yield resolve(environ={"EDGEMETER_CONFIG": str(config)})
    finally:
        desk.finish()


def test_a_text_of_the_zoo_is_read_by_the_models_tokenizer(
    lab: Lab, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = tiny_llama.write_gguf(tiny_llama.weights(), tmp_path / "smollm2.gguf")
    text = tmp_path / "smollm2.txt"
    text.write_text(TEXT)
    model = lab.add_model(gguf, task="language-model").model
    data = lab.add_dataset(text, tokenizer=model.digest).dataset
    study = lab_pb2.Study(name="x/smollm2", model_digest=model.digest, dataset_digest=data.digest)
    one = Bundled(
        study=study, model=model, data=data, boards={}, measured=[], zoo_model="smollm2", zoo_data="smollm2"
    )
    bundle = Bundle(made_by="0.0", studies=[one], files=frozenset())
    monkeypatch.setattr(
        replay_originals, "fetched", lambda *_: SimpleNamespace(model_path=gguf, data_path=text)
    )
    with Lab(elsewhere) as other:
        text.write_text(TEXT + TEXT)
        with pytest.raises(EdgemeterError, match="the zoo's data smollm2 is another file here") as refused:
            replay_originals.bring(other, tmp_path / "x.zip", bundle, one, Watcher())
        assert data.digest[:12] in str(refused.value)
        text.write_text(TEXT)
        replay_originals.bring(other, tmp_path / "x.zip", bundle, one, Watcher())
        assert [each.digest for each in other.models()] == [model.digest]
        assert data.digest in [each.digest for each in other.datasets()]
        # There now: nothing is fetched.
        monkeypatch.delattr(replay_originals, "fetched")
        replay_originals.bring(other, tmp_path / "x.zip", bundle, one, Watcher())
