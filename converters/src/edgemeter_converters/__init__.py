"""Compresses a model by a recipe and says what became of it.

Importing this, or anything in it, imports no TensorFlow and no Keras; only what runs in a conversion worker
(`edgemeter_converters.worker`) does, when it is called.
"""

from __future__ import annotations
