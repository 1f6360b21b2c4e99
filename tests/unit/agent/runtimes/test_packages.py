"""Runtimes that come in packages of several names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgemeter_agent.runtimes import NULL, RUNTIMES, LoadOptions, Package, installed, kind

MADE_UP = (Package("edgemeter_first", ("first-dist",)), Package("edgemeter_second", ("second-dist", "other")))


@pytest.mark.parametrize(
    ("there", "used"),
    [
        (["edgemeter_first", "edgemeter_second"], "edgemeter_first"),
        (["edgemeter_second"], "edgemeter_second"),
        # what an error names, and what to install
        ([], "edgemeter_first"),
    ],
)
def test_the_first_that_is_installed_is_used(
    there: list[str], used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in there:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    runtime = replace(kind("llama.cpp"), packages=MADE_UP)
    assert runtime.package == used
    assert (runtime.installed is not None) == bool(there)


def test_the_empty_runtime_has_no_package() -> None:
    assert NULL.package == ""
    assert NULL.installed is None


def test_a_runtime_of_several_packages_is_found_once_with_the_version_of_the_used_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edgemeter_second").mkdir()
    (tmp_path / "edgemeter_second" / "__init__.py").touch()
    (tmp_path / "other-1.2.3.dist-info").mkdir()
    (tmp_path / "other-1.2.3.dist-info" / "METADATA").write_text("Name: other\nVersion: 1.2.3\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(installed, "RUNTIMES", (replace(kind("llama.cpp"), packages=MADE_UP),))
    found = installed.installed_runtimes()
    assert [(each.name, each.version, each.formats) for each in found] == [("llama.cpp", "1.2.3", ("gguf",))]


def test_only_language_models_write_text() -> None:
    assert {each.name for each in RUNTIMES if each.writes_text} == {"llama.cpp", "onnxruntime-genai"}
    assert LoadOptions().generation is None
