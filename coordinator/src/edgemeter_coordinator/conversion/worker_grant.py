"""What conversion workers on other machines may do here: by one token, for as long as this process runs."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from edgemeter_coordinator.tokens import TokenKind, new_secret


class WorkerGrant:
    """Used from the event loop only. The token is never written down: a restart makes another."""

    def __init__(self) -> None:
        self.token = new_secret(TokenKind.WORKER)
        self._readable: Counter[str] = Counter()

    def is_worker(self, secret: str) -> bool:
        """Whether `secret` is the workers' token."""
        return hmac.compare_digest(secret.encode(), self.token.encode())

    def may_read(self, digest: str) -> bool:
        """Whether any request that is under way names this blob."""
        return self._readable[digest] > 0

    @contextmanager
    def reading(self, digests: Iterable[str]) -> Iterator[None]:
        """Lets workers read these blobs for as long as this lasts."""
        named = list(digests)
        self._readable.update(named)
        try:
            yield
        finally:
            self._readable.subtract(named)
            self._readable = +self._readable
