"""What a blob transfer is compared with: the same bytes, written to disk and hashed, by other means."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

RECEIVE_BYTES = 256 * 1024

_SOCKET_SERVER = """
import contextlib, socket, ssl, sys
with open(sys.argv[1], "rb") as source, socket.create_server(("127.0.0.1", int(sys.argv[2]))) as listener:
    while True:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if len(sys.argv) > 3:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(sys.argv[3])
                connection = stack.enter_context(context.wrap_socket(connection, server_side=True))
            source.seek(0)
            while chunk := source.read(262144):
                connection.sendall(chunk)
"""

_UVICORN_APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    with open(PATH, "rb") as source:
        while chunk := source.read(262144):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def serving(command: list[str], port: int) -> Iterator[None]:
    """A server process, from when it answers to its end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def receive(chunks: Iterator[bytes], target: Path) -> str:
    """Writes, hashes and syncs; the digest."""
    digest = hashlib.sha256()
    with target.open("wb") as output:
        for chunk in chunks:
            output.write(chunk)
            digest.update(chunk)
        output.flush()
        os.fsync(output.fileno())
    return digest.hexdigest()


@contextlib.contextmanager
def raw_socket(source: Path, target: Path, certificate: Path | None = None) -> Iterator[Callable[[], str]]:
    """A TCP connection: read, sendall; recv, write, SHA-256. With a key and certificate in one file, over
    TLS."""
    port = free_port()
    command = [sys.executable, "-c", _SOCKET_SERVER, str(source), str(port)]

    def pull() -> str:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            if certificate is not None:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                connection = stack.enter_context(context.wrap_socket(connection))
            return receive(iter(lambda: connection.recv(RECEIVE_BYTES), b""), target)

    with serving(command + ([] if certificate is None else [str(certificate)]), port):
        yield pull


def _over_http(port: int, path: str, target: Path) -> str:
    with httpx.stream("GET", f"http://127.0.0.1:{port}/{path}", timeout=60) as response:
        response.raise_for_status()
        return receive(response.iter_bytes(RECEIVE_BYTES), target)


@contextlib.contextmanager
def http(source: Path, target: Path, scratch: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """nginx + httpx where nginx is installed, else uvicorn + httpx; the peer's name and its pull."""
    port = free_port()
    nginx = shutil.which("nginx")
    if nginx:
        configuration = scratch / "nginx.conf"
        configuration.write_text(
            f"daemon off; pid {scratch}/nginx.pid; error_log {scratch}/error.log;\n"
            f"{'user root;' if Path.home() == Path('/root') else ''}\n"
            "events {}\n"
            "http { access_log off; sendfile on;\n"
            f"server {{ listen 127.0.0.1:{port}; root {source.parent}; }} }}\n"
        )
        command = [nginx, "-c", str(configuration), "-p", str(scratch)]
        name = "nginx + httpx"
    else:
        module = scratch / "one_file.py"
        module.write_text(f"PATH = {str(source)!r}\n{_UVICORN_APP}")
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(scratch), "--port", str(port)]
        command += ["--log-level", "warning", "one_file:app"]
        name = "uvicorn + httpx"
    with serving(command, port):
        yield name, lambda: _over_http(port, source.name, target)
