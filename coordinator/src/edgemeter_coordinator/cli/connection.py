"""The options that say where the coordinator is, the same for every command that talks to one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab

_PANEL = "Coordinator"


@dataclass(frozen=True, kw_only=True)
class Where:
    """What the user said on the command line of where the coordinator is."""

    address: str | None
    token: str | None
    ca: Path | None

    def connect(self) -> Lab:
        """A lab at the coordinator of the flags, the environment or the configuration file."""
        import edgemeter_coordinator

        return edgemeter_coordinator.connect(self.address, token=self.token, ca=self.ca)


def _options(
    coordinator: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where the coordinator is; else EDGEMETER_COORDINATOR, else the configuration file.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--auth-token",
            metavar="TOKEN",
            help="A user's token; else EDGEMETER_TOKEN, else the configuration file.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The CA's certificate; else EDGEMETER_CA, else the configuration file.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
) -> Where:
    return Where(address=coordinator, token=token, ca=ca)


def with_coordinator(command: Callable[..., None]) -> Callable[..., None]:
    """Gives `command` its first argument, a Where, from options that it adds to the command line."""
    own = [
        parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter, hint in _annotated(command)[1:]
    ]
    added = [
        parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter, hint in _annotated(_options)
    ]
    names = [parameter.name for parameter in added]

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        where = _options(**{name: arguments.pop(name) for name in names})
        command(where, **arguments)

    every = own + added
    wrapped.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    return wrapped


def _annotated(function: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any]]:
    hints = get_type_hints(function, include_extras=True)
    return [(parameter, hints[name]) for name, parameter in inspect.signature(function).parameters.items()]
