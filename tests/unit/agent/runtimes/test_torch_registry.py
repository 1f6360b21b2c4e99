"""torch and ExecuTorch in the registry: known by name and suffix, imported by neither."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgemeter_agent.runtimes import FORMAT_OF_SUFFIX, RUNTIMES, kind


@pytest.mark.parametrize(("suffix", "runtime"), [(".pt", "torch"), (".pt2", "torch"), (".pte", "executorch")])
def test_a_files_suffix_leads_to_its_runtime(suffix: str, runtime: str) -> None:
    assert FORMAT_OF_SUFFIX[suffix] in kind(runtime).formats


def test_every_format_has_one_suffix() -> None:
    formats = {name for known in RUNTIMES for name in known.formats}
    assert sorted(FORMAT_OF_SUFFIX.values()) == sorted(formats)


def test_the_registry_and_its_modules_import_no_runtime() -> None:
    code = (
        "import sys; from edgemeter_agent.runtimes import torch, executorch;"
        "print([name for name in ('torch.nn', 'executorch.runtime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
