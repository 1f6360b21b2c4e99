"""A result's key numbers, each with its interval, and on what a repetition of it depends. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgemeter_protos.against import ORIGINAL
from edgemeter_protos.report.measured import VERDICTS
from edgemeter_protos.v1 import device_pb2, lab_pb2, result_pb2, variant_pb2

ANYWHERE, BOARD, METER = "anywhere", "board", "meter"
"""Where a number can be repeated: wherever the variant runs; on the same kind of board; on one with the same
kind of meter too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """One value.

    Attributes:
        name: "size_bytes", "quality top1", "latency_p50_ns", …: units are in names.
        low, high: its 95 % interval; None where it has none.
        where: one of ANYWHERE, BOARD, METER.
        samples: that a quality is over; 0 for other numbers.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    where: str = ANYWHERE
    samples: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one board said of one variant.

    Attributes:
        runtime: what computed it, version and all: "litert 2.3.0 CPU (XNNPACK)".
        meter: name and kind of the one that was read; empty for none.
    """

    recipe: str
    device_id: str
    verdict: str
    runtime: str
    meter: str
    numbers: tuple[Number, ...]


def measured(responses: Iterable[lab_pb2.ListResultsResponse]) -> list[Measured]:
    """One a variant and device, in the order given; those of attempts that lost their job are left out."""
    return [_measured(response) for response in responses if not response.late]


def same_kind(one: device_pb2.DeviceFacts, other: device_pb2.DeviceFacts) -> bool:
    """Whether two boards should be equally fast: of the same make, and real."""

    def kind(facts: device_pb2.DeviceFacts) -> tuple[str, str, str, int]:
        return facts.board, facts.soc, facts.arch, facts.cpu_count

    return kind(one) == kind(other) and not (one.emulated or other.emulated)


def _measured(response: lab_pb2.ListResultsResponse) -> Measured:
    result = response.result
    runtime = (result.runtime.name, result.runtime.version, result.runtime.ran_on)
    measured_energy = result.energy.status == result_pb2.ENERGY_STATUS_MEASURED
    return Measured(
        recipe=response.manifest.recipe,
        device_id=response.device.id,
        verdict=VERDICTS.get(result.verdict.state, "void"),
        runtime=" ".join(filter(None, runtime)),
        meter=f"{result.energy.meter.name} {result.energy.meter.kind}".strip() if measured_energy else "",
        numbers=(
            Number(name="size_bytes", value=response.manifest.size_bytes),
            *_qualities(response),
            *_times(result),
            *_energy(result.energy),
        ),
    )


def _qualities(response: lab_pb2.ListResultsResponse) -> list[Number]:
    on_device = list(response.device_metrics) or (
        [response.device_quality] if response.HasField("device_quality") else []
    )
    return [
        Number(
            name=_quality_name(each),
            value=each.value,
            low=each.ci95_low if each.HasField("ci95_low") else None,
            high=each.ci95_high if each.HasField("ci95_high") else None,
            samples=each.samples,
        )
        for each in on_device
        if each.samples and not each.unscored_reason
    ]


def _quality_name(quality: variant_pb2.Quality) -> str:
    against = " against the original" if quality.against == ORIGINAL else ""
    return f"quality {quality.metric}{against}"


def _times(result: result_pb2.Result) -> list[Number]:
    numbers = []
    compared, latency, speed = result.comparison, result.latency, result.text_speed
    if compared.outcome != result_pb2.OUTCOME_UNSPECIFIED and compared.ratio > 0:
        interval = _interval(compared.ci95_low, compared.ci95_high)
        numbers.append(_on_board("latency_ratio", compared.ratio, interval))
    if latency.samples:
        interval = _interval(latency.ci95_low_ns, latency.ci95_high_ns)
        numbers.append(_on_board("latency_p50_ns", latency.p50_ns, interval))
    if result.HasField("text_speed"):
        first = speed.ttft_p50
        bounded = first.HasField("ci95_low_ns") and first.HasField("ci95_high_ns")
        interval = (first.ci95_low_ns, first.ci95_high_ns) if bounded else None
        numbers.append(_on_board("ttft_p50_ns", first.value_ns, interval))
        interval = _interval(speed.decode_ci95_low, speed.decode_ci95_high)
        numbers.append(_on_board("decode_tokens_per_s", speed.decode_tokens_per_s, interval))
    return numbers


def _energy(energy: result_pb2.Energy) -> list[Number]:
    if energy.status != result_pb2.ENERGY_STATUS_MEASURED:
        return []
    value, half = energy.net_uj_per_inference, energy.net_uncertainty_uj
    noun = energy.sample_noun or "inference"
    return [Number(name=f"net_uj_per_{noun}", value=value, low=value - half, high=value + half, where=METER)]


def _on_board(name: str, value: float, interval: tuple[float, float] | None) -> Number:
    low, high = interval or (None, None)
    return Number(name=name, value=value, low=low, high=high, where=BOARD)


def _interval(low: float, high: float) -> tuple[float, float] | None:
    """None for 0 to 0, which stands for none."""
    return (low, high) if high > 0 else None
