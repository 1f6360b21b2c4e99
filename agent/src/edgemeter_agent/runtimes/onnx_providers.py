"""Which of ONNX Runtime's execution providers a session must use, and whether it really does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgemeter_agent.runtimes.accelerators import ONNX_FORMS, unknown

CPU = "CPUExecutionProvider"

PROVIDERS = {"cpu": CPU, "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}

FORMS = ("cpu", *(form for forms in ONNX_FORMS.values() for form in forms))


def wanted_providers(accelerator: str) -> tuple[str, ...]:
    """In order of preference. "cuda": all nodes or none; "cuda+cpu": what it can't run goes to the processor.

    Raises ValueError for a name that is not among FORMS.
    """
    if accelerator not in ("", *FORMS):
        raise unknown("onnxruntime", accelerator, FORMS)
    return tuple(PROVIDERS[name] for name in (accelerator or "cpu").split("+"))


def check_offered(wanted: Sequence[str], offered: Sequence[str]) -> None:
    """Raises ValueError for a provider that this onnxruntime was not built with."""
    missing = [name for name in wanted if name not in offered]
    if missing:
        raise ValueError(
            f"this onnxruntime has no {missing[0]}; it has {', '.join(offered)}: install one that was built"
            " with it (onnxruntime-gpu)"
        )


def check_taken(wanted: Sequence[str], registered: Sequence[str], nodes: Mapping[str, int]) -> None:
    """Raises ValueError where a session runs elsewhere than it was asked to.

    Asked for a provider that does not start (no driver, wrong versions of its libraries), ONNX Runtime goes
    on with another.

    Args:
        registered: the session's own list; ONNX Runtime adds the processor to it always.
        nodes: of the graph, by the provider that they were given to; empty where ONNX Runtime doesn't tell.
    """
    missing = [name for name in wanted if name not in registered]
    if missing:
        raise ValueError(
            f"the model would run on {', '.join(registered)}, and {missing[0]} was asked for: it did not"
            " start"
        )
    strangers = [name for name in (*registered, *nodes) if name not in (*wanted, CPU)]
    if strangers:
        raise ValueError(f"the model would run on {strangers[0]}, and {wanted[0]} was asked for")
    fallen = nodes.get(CPU, 0) if CPU not in wanted else 0
    if fallen:
        raise ValueError(fallen_line(wanted, f"{fallen} of the model's {sum(nodes.values())} nodes"))
    if nodes and wanted[0] not in nodes:
        raise ValueError(
            f"none of the model's {sum(nodes.values())} nodes runs on {wanted[0]}: all fell to"
            f" {', '.join(nodes)}"
        )


def fallen_line(wanted: Sequence[str], what: str) -> str:
    """For the user whose nodes would fall to the processor."""
    names = {provider: name for name, provider in PROVIDERS.items()}
    form = "+".join(names[provider] for provider in wanted)
    allowed = f"{form}+cpu" if f"{form}+cpu" in FORMS else f"{form}+cuda+cpu"
    return f"{what} can't run on {', '.join(wanted)} and would fall to the processor; {allowed!r} allows that"


def ran_on(wanted: Sequence[str], nodes: Mapping[str, int]) -> str:
    """One provider's name, or several with their shares of the nodes."""
    if len(wanted) == 1:
        return wanted[0]
    if not nodes:
        return f"{', '.join(wanted)} (this onnxruntime does not tell their shares)"
    if set(nodes) == {wanted[0]}:
        return wanted[0]
    total = sum(nodes.values())
    return ", ".join(f"{name} ({nodes[name]} of {total} nodes)" for name in wanted if name in nodes)
