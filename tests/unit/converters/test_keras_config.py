from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import keras_config
from edgemeter_protos.v1 import refusal_pb2

UNSAFE, NOT_A_MODEL = refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL, refusal_pb2.REFUSAL_REASON_NOT_A_MODEL


def layer(
    class_name: str, name: str = "one", module: str | None = "keras.layers", **config: Any
) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": {"name": name, **config}}


def network(*layers: dict[str, Any]) -> dict[str, Any]:
    return layer("Sequential", "net", "keras", layers=list(layers))


RELU = {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "relu"}
CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAAAA", "defaults": None}}


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(network(layer("Dense")), id="Keras's own"),
        pytest.param(network(layer("Activation", activation=RELU)), id="a function by its name"),
        pytest.param({**network(), "compile_config": {"loss": CODE}}, id="training is not loaded"),
        pytest.param(network(layer("Dense", "Lambda")), id="a name is no class"),
        pytest.param(network({**layer("Dense"), "registered_name": "keras>Dense"}), id="registered by Keras"),
        pytest.param({"class_name": "Sequential", "config": {"layers": []}}, id="legacy: no module"),
    ],
)
def test_accepts(config: dict[str, Any]) -> None:
    keras_config.check(json.dumps(config), "m.keras")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(
            network(layer("Dense"), layer("Lambda", "shift")),
            "m.keras: layer 'shift' (Lambda) runs Python code that the file brings along; edgemeter loads "
            "models in Keras's safe mode only: rewrite it with Keras's own layers",
            id="a Lambda layer",
        ),
        pytest.param(
            network(layer("Activation", "act", activation=CODE)),
            "m.keras: layer 'act' (__lambda__) runs Python code",
            id="a lambda within a layer",
        ),
        pytest.param(
            network(layer("TimeDistributed", "outer", layer=layer("Lambda", "inner"))),
            "m.keras: layer 'inner' (Lambda)",
            id="nested",
        ),
        pytest.param(
            network(layer("TFSMLayer")), "m.keras: layer 'one' (TFSMLayer) loads another model", id="TFSM"
        ),
        pytest.param(
            network(layer("TorchModuleWrapper")),
            "m.keras: layer 'one' (TorchModuleWrapper) unpickles",
            id="torch",
        ),
        pytest.param(
            network(layer("system", module="os")),
            "m.keras: layer 'one' (system) is of a class that is not part of Keras",
            id="a module of Python's",
        ),
        pytest.param(
            network(layer("Evil", module="keras_evil.layers")),
            "m.keras: layer 'one' (Evil)",
            id="a look-alike",
        ),
        pytest.param(
            network({**layer("Own", "mine", None), "registered_name": "pack>Own"}),
            "m.keras: layer 'mine' (Own) is of a class",
            id="registered by its author",
        ),
        pytest.param(
            network(layer("pack>Own", "mine", None)), "m.keras: layer 'mine' (pack>Own)", id="legacy"
        ),
        pytest.param(layer("Lambda", module=None), "m.keras: layer 'one' (Lambda)", id="at the top"),
    ],
)
def test_refuses_code(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConversionError) as refused:
        keras_config.check(json.dumps(config), "m.keras")
    assert refused.value.message.startswith(message)
    assert refused.value.reason == UNSAFE


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", b"\xff\xfe", "[" * 100_000, '"Lambda"'])
def test_refuses_what_is_no_configuration(text: str | bytes) -> None:
    with pytest.raises(
        ConversionError, match=r"m\.keras: it holds no Keras model's configuration"
    ) as refused:
        keras_config.check(text, "m.keras")
    assert refused.value.reason == NOT_A_MODEL


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["class_name", "config", "name", "module", "layers"]), inner, max_size=4
        )
    ),
)


@given(JSON, st.data())
def test_a_lambda_is_found_wherever_it_is(tree: Any, data: st.DataObject) -> None:
    nested: Any = CODE
    for _ in range(data.draw(st.integers(0, 5))):
        nested = [tree, nested] if data.draw(st.booleans()) else {"layers": nested, "extra": tree}
    with pytest.raises(ConversionError) as refused:
        keras_config.check(json.dumps({"class_name": "Sequential", "config": nested}), "m.keras")
    assert refused.value.reason == UNSAFE


def test_what_keras_2_wrote_and_keras_3_refuses_is_left_out() -> None:
    layer = {"class_name": "DepthwiseConv2D", "config": {"name": "a", "groups": 1, "strides": [1, 1]}}
    conv = {"class_name": "Conv2D", "config": {"name": "b", "groups": 1}}
    old = json.dumps({"class_name": "Sequential", "config": {"layers": [layer, conv]}})
    layers = json.loads(keras_config.modern(old))["config"]["layers"]
    assert layers[0]["config"] == {"name": "a", "strides": [1, 1]}
    assert layers[1] == conv


def test_a_configuration_of_today_is_left_as_it_is() -> None:
    today = '{"class_name":  "Sequential", "config": {"layers": [{"class_name": "DepthwiseConv2D"}]}}'
    assert keras_config.modern(today) is today
