"""Runs a program that must not outlive who started it: `python -m edgemeter_agent.meters.guard PROGRAM ARGS`.

Standard output and error are the program's. Standard input is the lifeline: when its other end closes,
however that process ended, the whole process group is ended. The program's exit code or signal is this one's
too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 1.0
"""Between SIGTERM and SIGKILL."""


def main() -> None:
    # The program has this signal too and decides; a handler, unlike SIG_IGN, is not inherited by it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_lifeline, name="lifeline", daemon=True).start()
    code = process.wait()
    if code < 0:
        if -code == signal.SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    # Without waiting for the lifeline's thread, which sits in a read.
    os._exit(code)


def _end_with_lifeline() -> None:
    while os.read(0, 1):
        pass  # nothing is expected
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
