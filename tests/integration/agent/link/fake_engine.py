"""Speaks the engine's protocol and measures nothing. Run as: fake_engine.py MODE [PID_FILE]."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

from google.protobuf import proto

from edgemeter_protos.v1 import engine_pb2, result_pb2


def say(event: engine_pb2.EngineEvent) -> None:
    # Its signature says BytesIO; it only writes.
    proto.serialize_length_prefixed(event, cast("io.BytesIO", sys.stdout.buffer))
    sys.stdout.buffer.flush()


def measure(job: engine_pb2.EngineJob) -> None:
    for number, variant in enumerate(job.variants):
        phase = f"{variant.label}: block 1 of 1"
        say(engine_pb2.EngineEvent(progress=engine_pb2.EngineProgress(fraction=0.5, phase=phase)))
        samples = Path(job.work_dir, f"samples-{number}")
        samples.write_bytes(Path(variant.artifact_path).read_bytes()[::-1])
        result = result_pb2.Result(variant_id=variant.variant_id, peak_rss_bytes=1 + number)
        told = engine_pb2.EngineResult(result=result, samples_path=str(samples))
        say(engine_pb2.EngineEvent(result=told))
    say(engine_pb2.EngineEvent(done=engine_pb2.EngineDone()))


def hang(pid_file: Path) -> None:
    """Neither it nor its child listens to SIGTERM, nor to the end of stdin."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    scratch = pid_file.with_suffix(".new")
    scratch.write_text(f"{child.pid}")
    scratch.replace(pid_file)
    time.sleep(600)


def main() -> int:
    job = proto.parse_length_prefixed(engine_pb2.EngineJob, cast("io.BytesIO", sys.stdin.buffer))
    assert job is not None
    match sys.argv[1]:
        case "measure":
            measure(job)
        case "hang":
            hang(Path(sys.argv[2]))
        case "hang-after-result":
            result = result_pb2.Result(variant_id=job.variants[0].variant_id)
            say(engine_pb2.EngineEvent(result=engine_pb2.EngineResult(result=result)))
            hang(Path(sys.argv[2]))
        case "refuse":
            failure = engine_pb2.EngineFailure(detail="no runtime here runs int4@onnx")
            say(engine_pb2.EngineEvent(failure=failure))
        case "crash":
            print("Segmentation fault in the fake", file=sys.stderr)
            return 3
        case "garble":
            sys.stdout.buffer.write(b"Traceback (most recent call last):\n" * 10)
            sys.stdout.buffer.flush()
            time.sleep(600)
    return 0


if __name__ == "__main__":
    sys.exit(main())
