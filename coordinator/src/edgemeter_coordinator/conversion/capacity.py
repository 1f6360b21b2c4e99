"""How many conversion workers a machine bears. Pure."""

from __future__ import annotations

from dataclasses import dataclass

WORKER_BYTES = 4_500_000_000
"""What the greediest steps take that the shipped studies have: `lora` of a language model of 135 million
parameters reached 4.1 GB, `prune-width` of it 3.3 GB, and a worker is killed at 95 % of its limit. Most take
less: TensorFlow and torch with their converters are 1.5 GB, a model of ten million parameters and its
calibration one more; who converts such ones only may ask for more workers."""

SERVICE_SHARE = 0.2
"""Of the memory, kept for the service, the database's cache and the system."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    workers: int
    # Of one worker; it is killed when it uses more.
    memory_limit_bytes: int


def capacity(*, cpu_count: int, memory_bytes: int, workers: int | None = None) -> Capacity:
    """As many workers as there are processors and memory for, at least one; or `workers`, where given.

    Their limits together never exceed what the machine, or the control group, has.
    """
    usable_bytes = int(memory_bytes * (1 - SERVICE_SHARE))
    if workers is None:
        workers = min(cpu_count, usable_bytes // WORKER_BYTES)
    workers = max(1, workers)
    return Capacity(workers=workers, memory_limit_bytes=usable_bytes // workers)
