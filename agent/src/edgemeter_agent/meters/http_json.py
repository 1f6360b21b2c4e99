"""JSON from a small web server, with a limit on its time and size."""

from __future__ import annotations

import http.client
import json
import math
import time
import urllib.error
import urllib.request
from typing import Any

MAX_ANSWER_BYTES = 65536
_CHUNK_BYTES = 4096

# A meter stands in the same room: no proxy of the environment is asked.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HttpFault(Exception):
    """Why there is no answer: a code for the trace, and a line."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        """"timeout", "unreachable", "http_404", "rubbish"."""
        self.detail = detail


def fetch_object(url: str, timeout_s: float) -> dict[str, Any]:
    """The JSON object that a GET answers with, within `timeout_s` in all. Raises HttpFault."""
    due_s = time.monotonic() + timeout_s
    try:
        with _OPENER.open(url, timeout=timeout_s) as response:
            body = _read(response, due_s)
    except urllib.error.HTTPError as error:
        error.close()
        raise HttpFault(f"http_{error.code}", f"it answers {error.code} {error.reason}") from None
    except (TimeoutError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise HttpFault("timeout", f"no answer within {timeout_s:g} s") from None
        words = getattr(reason, "strerror", None) or str(reason)
        raise HttpFault("unreachable", words.lower()) from None
    except (OSError, http.client.HTTPException) as error:
        raise HttpFault("unreachable", f"the connection broke ({type(error).__name__})") from None
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise HttpFault("rubbish", "its answer is no JSON") from None
    if not isinstance(answer, dict):
        raise HttpFault("rubbish", "its answer is no JSON object")
    return answer


def number_at(answer: dict[str, Any], *path: str) -> float:
    """A finite number in nested objects. Raises HttpFault."""
    value: Any = answer
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise HttpFault("rubbish", f"its answer has no number {'.'.join(path)}")
    return float(value)


def _read(response: http.client.HTTPResponse, due_s: float) -> bytes:
    """Chunk by chunk: a socket's own time limit begins anew with every byte."""
    body = b""
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise HttpFault("rubbish", f"its answer has more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > due_s:
            raise TimeoutError
    return body
