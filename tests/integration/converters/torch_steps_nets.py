"""Small torch networks of many shapes, data that they can learn, and a way to run a step on them."""

# mypy: disable-error-code="misc"
# torch has no types that mypy follows here.
from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import STEPS
from edgemeter_converters.steps.call import StepCall
from edgemeter_converters.steps.parameter import bind
from edgemeter_converters.steps.transform import Context, Progress, Transformed
from edgemeter_protos.v1 import variant_pb2

CLASSES = 4
SIZE = 12


class Plain(nn.Module):
    """Convolutions, then a dense layer on what is flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, stride=2, padding=1)
        self.dense = nn.Linear(16 * 6 * 6, 32)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.conv2(functional.relu(self.bn(self.conv1(x)))))
        return self.head(functional.relu(self.dense(x.flatten(1))))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn0 = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv1, self.bn1 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.bn0(self.stem(x)))
        x = x + self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return self.head(functional.relu(x).mean((2, 3)))


class Branches(nn.Module):
    """Branches that are concatenated, as in Inception; probabilities at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(3, 12, 1), nn.Conv2d(3, 20, 3, padding=1)
        self.join, self.head = nn.Conv2d(32, 32, 1), nn.Linear(32, CLASSES)

    def forward(self, x: Any) -> Any:
        both = torch.cat([functional.relu(self.narrow(x)), functional.relu(self.wide(x))], 1)
        return torch.softmax(self.head(functional.relu(self.join(both)).mean((2, 3))), dim=1)


class Grouped(nn.Module):
    """Depthwise and grouped convolutions, squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 32, 3, stride=2), nn.Conv2d(32, 32, 3, groups=32)
        self.point, self.grouped = nn.Conv2d(32, 48, 1), nn.Conv2d(48, 48, 3, padding=1, groups=4)
        self.squeeze, self.excite = nn.Conv2d(48, 12, 1), nn.Conv2d(12, 48, 1)
        self.norm, self.head = nn.GroupNorm(4, 48), nn.Linear(48, CLASSES)

    def forward(self, x: Any) -> Any:
        x = functional.relu6(self.depthwise(functional.relu6(self.stem(x))))
        x = functional.relu(self.grouped(functional.relu(self.point(x))))
        x = x * torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.head(self.norm(x).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Linear(36, 32), nn.LSTM(32, 12, batch_first=True)
        self.gru, self.hidden = nn.GRU(12, 10, batch_first=True), nn.Linear(10, 12)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Any) -> Any:
        steps = functional.relu(self.embed(x.permute(0, 2, 1, 3).flatten(2)))
        return self.head(functional.relu(self.hidden(self.gru(self.lstm(steps)[0])[0][:, -1])))


class Attention(nn.Module):
    """A transformer's encoder with a learned position."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.position = nn.Linear(36, 32), nn.Parameter(torch.randn(1, SIZE, 32) * 0.1)
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Any) -> Any:
        return self.head(self.encoder(self.embed(x.permute(0, 2, 1, 3).flatten(2)) + self.position).mean(1))


class Reshaped(nn.Module):
    """Attention written by hand: only reshapes know its heads, and torch-pruning doesn't follow them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm1, self.norm2 = nn.Linear(36, 32), nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.project = nn.Linear(32, 96), nn.Linear(32, 32)
        self.up, self.down, self.head = nn.Linear(32, 64), nn.Linear(64, 32), nn.Linear(32, CLASSES)

    def forward(self, x: Any) -> Any:
        x = self.embed(x.permute(0, 2, 1, 3).flatten(2))
        parts = self.qkv(self.norm1(x)).reshape(len(x), SIZE, 3, 4, 8).permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(*parts.unbind(0))
        x = x + self.project(heads.transpose(1, 2).flatten(2))
        return self.head((x + self.down(functional.gelu(self.up(self.norm2(x))))).mean(1))


class Shuffled(nn.Module):
    """Channels change places, half of them pass by, and some are averaged over: what a cut must not miss."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.point = nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 1, groups=2)
        self.inner, self.spatial = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(2, 1, 3, padding=1)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.point(functional.relu(self.stem(x))))
        x = x.unflatten(1, (2, 16)).transpose(1, 2).flatten(1, 2)
        left, right = x.chunk(2, 1)
        x = torch.cat([left, functional.relu(self.inner(right))], 1)
        x = x * torch.sigmoid(self.spatial(torch.stack([x.mean(1), x.amax(1)], 1)))
        return self.head(x.mean((2, 3)))


class UNet(nn.Module):
    """Skip connections, a transposed convolution, several outputs by name, one of them used further on."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 24, 3, padding=1)
        self.up, self.join = nn.ConvTranspose2d(24, 8, 2, stride=2), nn.Conv2d(24, 8, 3, padding=1)
        self.mask, self.score = nn.Conv2d(8, 2, 1), nn.Linear(24, 1)

    def forward(self, x: Any) -> Any:
        first = functional.relu(self.down1(x))
        second = functional.relu(self.down2(functional.max_pool2d(first, 2)))
        joined = functional.relu(self.join(torch.cat([first, self.up(second)], 1)))
        return {"mask": self.mask(joined), "score": self.score(second.mean((2, 3))), "features": second}


class NextNet(nn.Module):
    """As ConvNeXt: normalization over channels, and a scale that is a parameter outside of any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 32, 4, stride=4), nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)
        self.scale, self.head = nn.Parameter(torch.full((32,), 0.5)), nn.Linear(32, CLASSES)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        change = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        change = self.scale * self.down(functional.gelu(self.up(change)))
        return self.head((x + change.permute(0, 3, 1, 2)).mean((2, 3)))


class Tied(nn.Module):
    """Tokens in, tokens out, with one table for both."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 32)
        self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)
        self.head = nn.Linear(32, 20, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: Any) -> Any:
        x = self.table(tokens)
        return self.head(x + self.down(functional.relu(self.up(x))))


NETS: dict[str, type[nn.Module]] = {
    each.__name__: each
    for each in (
        Plain,
        Residual,
        Branches,
        Grouped,
        Recurrent,
        Attention,
        Reshaped,
        Shuffled,
        UNet,
        NextNet,
        Tied,
    )
}


def loaded(
    module: nn.Module, *, shape: tuple[int, ...] = (3, SIZE, SIZE), dtype: str = "float32"
) -> LoadedModel:
    return torch_module.loaded(
        module, "net.py", inputs=[variant_pb2.TensorSpec(name="x", dtype=dtype, shape=[-1, *shape])]
    )


def made(name: str, seed: int = 0) -> LoadedModel:
    """A network with statistics as training would have left them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = NETS[name]()
        for each in module.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.running_mean.normal_()
                each.running_var.uniform_(0.5, 2)
                nn.init.uniform_(each.weight, 0.5, 2)
                nn.init.normal_(each.bias)
    return loaded(module, shape=(SIZE,), dtype="int64") if name == "Tied" else loaded(module)


def stripes(samples: int = 96, seed: int = 0) -> Samples:
    """Images (samples, 3, 12, 12) of stripes under noise; the label is how narrow they are."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, samples)
    phase = random.uniform(0, 2 * np.pi, (samples, 1))
    waves = np.sin(np.arange(SIZE) * (0.4 + 0.6 * labels[:, None]) + phase)
    images = waves[:, None, None, :] + random.normal(0, 0.4, (samples, 3, SIZE, SIZE))
    return Samples(inputs=(images.astype(np.float32),), labels=labels)


def data_for(model: LoadedModel) -> Samples:
    if model.signature.inputs[0].dtype == "int64":
        return Samples(inputs=(np.random.default_rng(0).integers(0, 20, (96, SIZE)),))
    return stripes()


def is_classifier(model: LoadedModel) -> bool:
    return len(model.signature.outputs) == 1 and len(model.signature.outputs[0].shape) == 2


def context_of(
    step: str,
    model: LoadedModel,
    folder: Path,
    training: Samples | None,
    arguments: Mapping[str, Any],
    *,
    original: LoadedModel | None = None,
    progress: Progress = lambda _share, _words: None,
) -> Context:
    call = StepCall(
        name=step,
        arguments=tuple(key for key, value in arguments.items() if value is True),
        keywords=tuple(sorted((key, value) for key, value in arguments.items() if value is not True)),
    )
    return Context(
        arguments=bind(step, STEPS[step].parameters, call),
        original=original or model,
        training=training,
        task="classification" if is_classifier(model) else "",
        seed=11,
        checkpoint_dir=folder,
        progress=progress,
    )


def work_of(step: str) -> Callable[[LoadedModel, Context], Transformed]:
    apply: Callable[[LoadedModel, Context], Transformed] = import_module(
        f"edgemeter_converters.compress.torch.{step.replace('-', '_')}"
    ).apply
    return apply


def run(
    step: str,
    model: LoadedModel,
    folder: Path,
    training: Samples | None = None,
    *,
    original: LoadedModel | None = None,
    **arguments: Any,
) -> Transformed:
    """The step, one-shot unless training samples are given."""
    arguments.setdefault("epochs", 0 if training is None else 1)
    return work_of(step)(model, context_of(step, model, folder, training, arguments, original=original))


def accuracy(model: LoadedModel, samples: Samples) -> float:
    (outputs,) = torch_module.predict(model.network, samples.inputs)
    return float((outputs.argmax(axis=1) == samples.labels).mean())
