"""Taking what only one coordinator may have: a state directory, and ports."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import BinaryIO

import grpc
import grpc.aio
from sqlalchemy.exc import DBAPIError

from edgemeter_coordinator.authority import ServerIdentity


class ServeError(Exception):
    """Why the coordinator can't start: one line."""


def lock(state_dir: Path) -> BinaryIO:
    """Takes `state_dir`, made where it is missing, for as long as the file stays open. Raises ServeError."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (state_dir / "lock").open("a+b")
    except OSError as error:
        raise ServeError(unusable(state_dir, error)) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(20).decode(errors="replace").strip()
        file.close()
        raise ServeError(
            f"the state directory {state_dir} is in use by another coordinator "
            f"(process {holder or 'unknown'}): stop that one, or choose another with --state-dir"
        ) from None
    try:
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
    except OSError as error:
        raise ServeError(unusable(state_dir, error)) from None
    return file


def unusable(state_dir: Path, error: Exception) -> str:
    """The line for a state directory that can't be read or written, or holds what no coordinator wrote."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, DBAPIError):
        reason = f"its database edgemeter.db: {error.orig}"
    if isinstance(error, OSError) and error.filename:
        reason += f", {error.filename}"
    return (
        f"the state directory {state_dir} can't be used ({reason}): "
        "mend that, or choose another with --state-dir"
    )


def bind(
    server: grpc.aio.Server, host: str, port: int, identity: ServerIdentity, client_ca_pem: bytes | None
) -> int:
    """Binds `server`; the port that it got. Clients need a certificate of `client_ca_pem` where it is given.

    Raises ServeError.
    """
    credentials = grpc.ssl_server_credentials(
        [(identity.key_pem, identity.chain_pem)],
        root_certificates=client_ca_pem,
        require_client_auth=client_ca_pem is not None,
    )
    # gRPC doesn't say why it failed, and writes lines of its own to standard error: it is asked second.
    if refused := _why_not(host, port):
        raise ServeError(f"can't listen on {host} port {port} ({refused}): choose another port or host")
    try:
        return server.add_secure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", credentials)
    except RuntimeError as error:
        raise ServeError(
            f"can't listen on {host} port {port} ({error}): choose another port or host"
        ) from None


def _why_not(host: str, port: int) -> str:
    """Why nobody can listen there; empty where one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return ""
