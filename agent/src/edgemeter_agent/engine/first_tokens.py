"""When each of a block's generations had its first token."""

from __future__ import annotations

from array import array

from edgemeter_agent.runtimes import TextModel


class FirstTokens:
    """A query that notes, of each, what its model says of it. That takes 0.1 us of what is timed, and a
    generation takes milliseconds at least."""

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self._noted = array("q")

    def __call__(self) -> None:
        self._model.query()
        self._noted.append(self._model.first_token_ns)

    def of_timed(self, untimed_queries: int) -> array[int]:
        """In ns, of the queries that were timed: after each of them so many went by untimed."""
        return self._noted[:: untimed_queries + 1]
