"""What goes wrong with the zoo. The message is the one line that the user reads."""

from __future__ import annotations


class FetchError(Exception):
    """A package that did not come or is not what it was, or an entry that could not be made of it."""
