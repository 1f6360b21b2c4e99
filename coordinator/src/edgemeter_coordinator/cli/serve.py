"""`edgemeter serve`: the coordinator's process."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgemeter_coordinator.cli.output import AsJson, example, note

if TYPE_CHECKING:
    from edgemeter_coordinator.conversion.existing_cluster import Scheduler
    from edgemeter_coordinator.service.server import Coordinator, ServeOptions

EXAMPLE = example("edgemeter serve --advertise 192.168.1.10 --state-dir /srv/edgemeter")


def serve(
    state_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="CA, database and blobs are kept here; a folder of the user's where left out."
        ),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The local address to listen on.")] = "0.0.0.0",  # noqa: S104
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="For users and joining boards; 0 for any free one.")
    ] = 7443,
    fleet_port: Annotated[
        int, typer.Option(min=0, max=65535, help="For boards that have joined; 0 for any free one.")
    ] = 7444,
    advertise: Annotated[
        str | None,
        typer.Option(metavar="HOST[:PORT]", help="Where boards dial; this machine's name where left out."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Conversion processes; as many as memory allows where left out."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT",
            help="Convert on this Dask cluster, whose workers need edgemeter-converters; tls:// where it has "
            "certificates. A conversion that is cancelled there runs to its end, and is dropped.",
        ),
    ] = None,
    dask_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The Dask cluster's CA; else as Dask is configured.")
    ] = None,
    dask_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Our certificate there; else as Dask is configured.")
    ] = None,
    dask_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its key; else as Dask is configured.")
    ] = None,
    allow_code: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PACKAGE",
            help="A Python package whose functions users may name as models and data: it runs here. May be "
            "repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Runs the coordinator until it is told to stop (Ctrl-C, SIGTERM).

    The first start makes the CA and the owner's token. Each start writes the configuration file, so that
    this user's `edgemeter` commands find it; a login to another coordinator is left as it is.
    """
    import asyncio
    import logging

    import platformdirs

    from edgemeter_coordinator.sdk import settings
    from edgemeter_coordinator.sdk.errors import EdgemeterError
    from edgemeter_coordinator.service.listening import ServeError
    from edgemeter_coordinator.service.server import ServeOptions

    if advertise is not None:
        settings.parse_address(advertise)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("edgemeter_coordinator").setLevel(logging.INFO)
    options = ServeOptions(
        state_dir=(state_dir or platformdirs.user_state_path("edgemeter")).absolute(),
        host=host,
        port=port,
        fleet_port=fleet_port,
        advertise=advertise,
        workers=workers,
        dask=_scheduler(dask, dask_ca, dask_cert, dask_key),
        allow_code=tuple(allow_code or ()),
    )
    try:
        asyncio.run(_serve(options, as_json=as_json))
    except ServeError as error:
        raise EdgemeterError(str(error)) from error


def _scheduler(
    address: str | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> Scheduler | None:
    from edgemeter_coordinator.conversion.existing_cluster import Scheduler

    files = {"--dask-ca": ca, "--dask-cert": certificate, "--dask-key": key}
    if address is None:
        for option, path in files.items():
            if path is not None:
                raise typer.BadParameter(f"{option} goes with --dask tls://HOST:PORT")
        return None
    if not address.startswith(("tcp://", "tls://")):
        raise typer.BadParameter(f"--dask {address!r}: write tcp://HOST:PORT or tls://HOST:PORT")
    for option, path in files.items():
        if path is not None and not path.is_file():
            raise typer.BadParameter(f"{option}: there is no file {path}")
    return Scheduler(address=address, ca_file=ca, certificate_file=certificate, key_file=key)


async def _serve(options: ServeOptions, *, as_json: bool) -> None:
    import asyncio
    import signal

    from edgemeter_coordinator.service.server import Coordinator

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    coordinator = await Coordinator.start(options)
    try:
        announcement = announce(coordinator, options)
        if as_json:
            typer.echo(json.dumps(announcement))
        else:
            _print_announcement(announcement)
        await stopping.wait()
    finally:
        # A second signal ends at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        await coordinator.stop()


def local_address(host: str, port: int) -> str:
    """Where a user of this machine dials a coordinator that listens on `host`."""
    from edgemeter_coordinator.sdk.settings import join_address

    return join_address({"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host), port)  # noqa: S104


def announce(coordinator: Coordinator, options: ServeOptions) -> dict[str, Any]:
    """Logs the local user in, and returns what there is to say of where the coordinator is."""
    from edgemeter_coordinator.sdk import settings

    address = local_address(options.host, coordinator.port)
    config = settings.config_path()
    elsewhere = settings.login_elsewhere(config, address=address, ca_pem=coordinator.ca_pem)
    logged_in = coordinator.owner_token is not None and elsewhere is None
    if coordinator.owner_token is not None and elsewhere is None:
        settings.save(
            config,
            settings.Settings(address=address, token=coordinator.owner_token, ca_pem=coordinator.ca_pem),
        )
    return {
        "address": address,
        "port": coordinator.port,
        "fleet_port": coordinator.fleet_port,
        "ca_fingerprint": coordinator.ca_fingerprint,
        "state_dir": str(options.state_dir),
        "config": str(config) if logged_in else None,
        "logged_in_elsewhere": elsewhere,
    }


def _print_announcement(announcement: dict[str, Any]) -> None:
    typer.echo(
        f"edgemeter coordinator at {announcement['address']} for users and joining boards,"
        f" port {announcement['fleet_port']} for boards that have joined\n"
        f"CA {announcement['ca_fingerprint']}\n"
        f"state in {announcement['state_dir']}"
    )
    if announcement["logged_in_elsewhere"] is not None:
        state_dir = shlex.quote(announcement["state_dir"])
        note(
            f"this user stays logged in to {announcement['logged_in_elsewhere']}; to change to this one:"
            f" edgemeter login {announcement['address']} --token $(cat {state_dir}/owner-token)"
            f" --ca-fingerprint {announcement['ca_fingerprint']}"
        )
    elif announcement["config"] is None:
        note(f"no owner's token in {announcement['state_dir']}: use another user's with `edgemeter login`")
    else:
        typer.echo(
            f"this user is logged in ({announcement['config']}); `edgemeter token new` lets a board join"
        )
