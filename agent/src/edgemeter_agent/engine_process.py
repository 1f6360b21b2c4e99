"""Runs the benchmark engine as a process group of its own; none of it outlives its job."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from google.protobuf import proto
from google.protobuf.message import DecodeError

from edgemeter_agent import durable
from edgemeter_protos.v1 import engine_pb2

GRACE_S = 1.0
"""Between SIGTERM and SIGKILL. A cancelled engine must be gone within two seconds."""

LOG_TAIL_BYTES = 4096

log = logging.getLogger(__name__)


class EngineProcess:
    """One engine at work: an EngineJob in, EngineEvents out. Its stdin stays open; closing it is a kill."""

    def __init__(
        self, command: Sequence[str], job: engine_pb2.EngineJob, *, log_path: Path, record_path: Path
    ) -> None:
        """Starts it. `record_path` holds the process's identity while it lives (see kill_survivor).

        Raises OSError where it cannot be started.
        """
        self._log_path = log_path
        self._record_path = record_path
        self._lock = threading.Lock()
        self._reaped = False
        self._killer: threading.Timer | None = None
        with log_path.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        self._reaper = threading.Thread(target=self._reap, name="engine-reaper", daemon=True)
        self._reaper.start()
        try:
            record = json.dumps(_process_record(self._process.pid)).encode()
            durable.write_whole(record_path, record)
            # Ended already: the events, or their absence, will tell.
            with contextlib.suppress(BrokenPipeError):
                stdin = self._stdin
                proto.serialize_length_prefixed(job, stdin)
                stdin.flush()
        except BaseException:
            self.kill()
            self.wait()
            raise

    @property
    def pid(self) -> int:
        """Also the number of its process group."""
        return self._process.pid

    @property
    def _stdin(self) -> io.BytesIO:
        # What protobuf asks for; any buffered binary file will do.
        return cast("io.BytesIO", self._process.stdin)

    def events(self) -> Iterator[engine_pb2.EngineEvent]:
        """What it says, until it ends. One that says what is no EngineEvent is killed."""
        stdout = cast("io.BytesIO", self._process.stdout)
        while True:
            try:
                event = cast(
                    "engine_pb2.EngineEvent | None",
                    proto.parse_length_prefixed(engine_pb2.EngineEvent, stdout),
                )
            except (ValueError, DecodeError) as error:
                # Also where it died in the middle of a message.
                log.warning("the benchmark engine wrote what is no event: %s", error)
                self.kill()
                return
            if event is None:
                return
            yield event

    def kill(self) -> None:
        """Ends the whole group: politely, and after GRACE_S by force. Returns at once; may be repeated."""
        with self._lock:
            if self._reaped or self._killer is not None:
                return
            self._killer = threading.Timer(GRACE_S, self._signal_group, (signal.SIGKILL,))
            self._killer.daemon = True
            self._killer.start()
        self._signal_group(signal.SIGTERM)

    def close_stdin(self) -> None:
        """Tells the engine that nobody wants more from it."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def wait(self) -> int:
        """Its exit code, negative for a signal, once nothing of its group is left."""
        self._reaper.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._record_path.unlink(missing_ok=True)
        return self._process.returncode

    def last_words(self) -> str:
        """The last line that it wrote to stderr, empty where it wrote none."""
        with self._log_path.open("rb") as file:
            file.seek(max(0, self._log_path.stat().st_size - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def _reap(self) -> None:
        # The number of a group stays taken while its leader is a zombie, so nobody else is hit.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._signal_group(signal.SIGKILL)
        with self._lock:
            self._process.wait()
            self._reaped = True
            if self._killer is not None:
                self._killer.cancel()

    def _signal_group(self, number: signal.Signals) -> None:
        with self._lock:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)


def kill_survivor(record_path: Path) -> bool:
    """Kills the engine that a killed agent left, if it is still that process; True where there was one."""
    try:
        record = json.loads(record_path.read_text())
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        log.warning("%s: %s", record_path, error)
        record = None
    survives = isinstance(record, dict) and record == _process_record(record.get("pid"))
    if survives:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(record["pid"], signal.SIGKILL)
    record_path.unlink(missing_ok=True)
    return survives


def _process_record(pid: object) -> dict[str, object] | None:
    """Numbers that no other process will ever have together; None where there is no such process."""
    try:
        status = Path(f"/proc/{int(str(pid))}/stat").read_text()
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, ValueError):
        return None
    # Field 22, starttime in ticks since boot; the second field may contain spaces and brackets.
    start_ticks = int(status.rpartition(")")[2].split()[19])
    return {"pid": pid, "start_ticks": start_ticks, "boot_id": boot_id}
