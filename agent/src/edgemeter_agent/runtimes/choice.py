"""Which of the installed runtimes runs an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_agent.runtimes.installed import InstalledRuntime
from edgemeter_agent.runtimes.versions import version_key
from edgemeter_protos.v1 import variant_pb2


@dataclass(frozen=True, kw_only=True)
class NoRuntime:
    """Why none will do, one line."""

    reason: str


def choose_runtime(
    requirements: Sequence[variant_pb2.RuntimeRequirement],
    installed: Sequence[InstalledRuntime],
    artifact_format: str,
) -> InstalledRuntime | NoRuntime:
    """The first requirement that an installed runtime meets, in the requirements' order.

    Without requirements: the first usable runtime that serves the format.
    """
    if not installed:
        return NoRuntime(reason="no runtime is installed; pip install 'edgemeter-agent[litert]'")
    refusals: list[str] = []
    if not requirements:
        for runtime in installed:
            if artifact_format in runtime.formats and runtime.usable:
                return runtime
            refusals.append(runtime.unusable_because or f"{runtime.name} does not run {artifact_format}")
        return NoRuntime(reason="; ".join(refusals))
    for requirement in requirements:
        runtime_or_none = next((one for one in installed if one.name == requirement.runtime), None)
        if runtime_or_none is None:
            refusals.append(f"{requirement.runtime} is not installed")
            continue
        refusal = runtime_or_none.unusable_because or _version_refusal(requirement, runtime_or_none)
        if refusal is None:
            return runtime_or_none
        refusals.append(refusal)
    return NoRuntime(reason="; ".join(refusals))


def _version_refusal(requirement: variant_pb2.RuntimeRequirement, runtime: InstalledRuntime) -> str | None:
    low, high = requirement.min_version, requirement.below_version
    if not low and not high:
        return None
    if not runtime.version:
        return f"{runtime.name} does not tell its version, and {_range(requirement)} is needed"
    here = version_key(runtime.version)
    if (low and here < version_key(low)) or (high and here >= version_key(high)):
        return f"{runtime.name} {runtime.version} is installed and {_range(requirement)} is needed"
    return None


def _range(requirement: variant_pb2.RuntimeRequirement) -> str:
    bounds = []
    if requirement.min_version:
        bounds.append(f">={requirement.min_version}")
    if requirement.below_version:
        bounds.append(f"<{requirement.below_version}")
    return f"{requirement.runtime}{','.join(bounds)}"
