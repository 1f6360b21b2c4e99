"""A web server that behaves like a plug, on this machine."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]


class Device:
    """`answers` maps a path with its query to (status, object, or bytes that are sent as they are)."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.asked: list[str] = []
        self.delay_s = 0.0
        self.drip = False
        self.address = ""

    def says(self, path: str, answer: Any, status: int = 200) -> None:
        self.answers[path] = lambda: (status, answer)


@contextlib.contextmanager
def serving(device: Device) -> Iterator[Device]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            device.asked.append(self.path)
            time.sleep(device.delay_s)
            status, answer = device.answers.get(self.path, lambda: (404, {"code": 404}))()
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for part in [body[n : n + 1] for n in range(len(body))] if device.drip else [body]:
                    self.wfile.write(part)
                    self.wfile.flush()
                    if device.drip:
                        time.sleep(0.1)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    device.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield device
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
