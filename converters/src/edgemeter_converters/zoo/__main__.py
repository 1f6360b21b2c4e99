"""python -m edgemeter_converters.zoo NAME DIR      makes an entry's files; its packages are in the cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edgemeter_converters.zoo.catalogue import entry
from edgemeter_converters.zoo.entry import say
from edgemeter_converters.zoo.exceptions import FetchError


def main(name: str, folder: Path) -> int:
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        made = entry(name)
        say("making the data")
        made.write_data(folder / made.data_name)
        say("making the model")
        made.write_model(folder / made.model_name)
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
