"""Starting this Python anew."""

from __future__ import annotations

import sys

_RUN = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def module_command(module: str) -> list[str]:
    """Runs `module` as `python -m` does, but takes no module from the folder in which it is started: a file
    random.py there would be taken for Python's own. (PYTHONSAFEPATH is known from Python 3.11 on, and -I
    leaves out PYTHONPATH and the user's packages too.)"""
    return [sys.executable, "-c", _RUN, module]
