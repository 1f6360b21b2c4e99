"""What entries of the zoo are worth, in a process of its own: it holds TensorFlow and torch.

python score_entries.py FOLDER NAME ...     prints JSON: what each is, and its metrics
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgemeter_converters import models, tasks
from edgemeter_converters.tasks.task import Truth
from edgemeter_converters.zoo import ENTRIES
from edgemeter_protos import preprocessing


def score(folder: Path, name: str) -> dict[str, Any]:
    entry = ENTRIES[name]
    model = models.load(folder / entry.model_name, entry.model_name)
    with np.load(folder / entry.data_name) as arrays:
        names = ["x_test"] if "x_test" in arrays else ["x_test_0", "x_test_1"]
        inputs = [arrays[each] for each in names]
        labels = arrays.get("y_test", None)
    for at, text in enumerate(entry.preprocessing):
        inputs[at] = preprocessing.apply(preprocessing.parse(text), inputs[at])
    inputs = [each.astype(spec.dtype) for each, spec in zip(inputs, model.signature.inputs, strict=True)]
    outputs = models.predict(model, inputs)
    task = tasks.task(entry.task)
    original = tuple(each.astype(np.float32) for each in outputs)
    metrics = task.metrics(outputs, Truth(labels=labels, original=original, inputs=tuple(inputs)))
    return {
        "framework": model.framework,
        "parameters": model.parameters,
        "fits": task.fits(model.signature),
        "metrics": {f"{each.against}:{each.metric}": each.value for each in metrics},
        "unscored": [each.unscored_reason for each in metrics if each.unscored_reason],
        "spread": float(np.std(outputs[0])),
    }


if __name__ == "__main__":
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    print(json.dumps({name: score(Path(sys.argv[1]), name) for name in sys.argv[2:]}))
