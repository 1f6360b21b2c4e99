"""The engine's process: one EngineJob in, EngineEvents out."""

from __future__ import annotations

import os
import signal
import sys
import traceback

from edgemeter_agent.engine.job import run_job
from edgemeter_agent.engine.lifeline import die_with_parent, end_when_closed, orderly_termination
from edgemeter_agent.engine.pipes import read_message, take_stdio, write_message
from edgemeter_protos.v1 import engine_pb2


def main() -> int:
    """0 where the job came to an end, be it a failure of its own; 1 where the engine itself broke."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(os.getppid(), signal.SIGTERM)
    reader, writer = take_stdio()
    with orderly_termination():
        try:
            job = read_message(reader, engine_pb2.EngineJob)
            if job is None:
                return 1
            end_when_closed(reader)
            run_job(job, lambda event: write_message(writer, event))
        except BrokenPipeError:
            return 1
        except Exception as error:
            # Nobody could foresee it, so the whole story goes to the agent's log, and a line to the user.
            traceback.print_exc()
            detail = f"the engine broke: {type(error).__name__}: {error}"
            write_message(writer, engine_pb2.EngineEvent(failure=engine_pb2.EngineFailure(detail=detail)))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
