"""`edgemeter login`: which coordinator this user works with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgemeter_coordinator.cli.output import AsJson, example, note, print_json

EXAMPLE = example("edgemeter login 192.168.1.10:7443 --token em-user-… --ca-fingerprint sha256:…")


def login(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where the coordinator is.")],
    token: Annotated[str, typer.Option(metavar="TOKEN", help="From `edgemeter token new --user NAME`.")],
    ca_fingerprint: Annotated[
        str | None,
        typer.Option(metavar="sha256:HEX", help="The CA is fetched, and believed if this is its SHA-256."),
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Or the CA's certificate itself.")] = None,
    as_json: AsJson = False,
) -> None:
    """Checks a coordinator and a token, and keeps them in the configuration file."""
    if (ca_fingerprint is None) == (ca is None):
        raise typer.BadParameter("give one of --ca-fingerprint and --ca")

    from edgemeter_coordinator.sdk import settings
    from edgemeter_coordinator.sdk.lab import Lab
    from edgemeter_coordinator.sdk.login import fetch_ca

    address = settings.join_address(*settings.parse_address(address))
    ca_pem = settings.read_ca(ca) if ca is not None else fetch_ca(address, ca_fingerprint or "")
    wanted = settings.resolve(address=address, token=token, ca=ca_pem)
    with Lab(wanted) as lab:
        coordinator = lab.coordinator()
    path = settings.config_path()
    settings.save(path, wanted)
    if as_json:
        print_json(
            {
                "address": address,
                "user": coordinator.user,
                "version": coordinator.version,
                "ca_fingerprint": coordinator.ca_fingerprint,
                "config": str(path),
            }
        )
        return
    note(f"logged in to {address} (edgemeter {coordinator.version}) as {coordinator.user}; kept in {path}")
