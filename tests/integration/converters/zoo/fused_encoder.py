"""MiniLM, untrained, as ONNX in a fully optimized session; prints how far it is from torch.

A process of its own: torch's exporter warns of its own ways.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from edgemeter_converters.formats import onnx_float
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.zoo.nets import minilm
from edgemeter_protos.v1 import variant_pb2

SHAPES = ((minilm.TOKENS,), (minilm.TOKENS,))
minilm.WORDS = 100


def main() -> None:
    torch.manual_seed(0)
    module = minilm.SentenceEncoder().eval()
    # As trained: nothing is 0 or 1, and so nothing is left out.
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0.05, 0.05)
    signature = variant_pb2.Signature(
        inputs=[variant_pb2.TensorSpec(dtype="int32", shape=[-1, *shape]) for shape in SHAPES],
        outputs=[variant_pb2.TensorSpec(dtype="float32", shape=[-1, 384])],
    )
    model = LoadedModel(framework="torch", network=module, signature=signature, parameters=0)
    with tempfile.TemporaryDirectory() as folder:
        graph = onnx_float.float_graph(model, SHAPES, Path(folder))
        path = Path(folder, "graph.onnx")
        path.write_bytes(graph.SerializeToString())
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = np.random.RandomState(0).randint(0, minilm.WORDS, (1, minilm.TOKENS)).astype(np.int32)
    mask = (np.arange(minilm.TOKENS) < 40).astype(np.int32)[None]
    (found,) = session.run(None, {"input_0": x, "input_1": mask})
    with torch.no_grad():
        expected = module(torch.from_numpy(x), torch.from_numpy(mask)).numpy()
    print(np.abs(found - expected).max())


if __name__ == "__main__":
    main()
