"""Files in a folder that look like a board's, and sensors that fail."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgemeter_agent.board.root import open_readonly


def plant(root: Path, files: Mapping[str, str], links: Mapping[str, str] | None = None) -> None:
    """Writes files by path; `links` are symbolic ones, path to path, both relative to the root.

    Programs of bin/ can be run.
    """
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        if path.startswith("bin/"):
            target.chmod(0o755)
    for path, to in (links or {}).items():
        link = root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(root / to, link.parent))


class Faults(dict[str, int]):
    """An opener for `BoardRoot`: files whose paths end as a key does answer with its errno. Drivers answer
    a read so; no plain file does."""

    def __call__(self, path: str) -> int:
        for ending, code in self.items():
            if path.endswith(ending):
                raise OSError(code, os.strerror(code), path)
        return open_readonly(path)
