"""llama.cpp and ONNX Runtime GenAI against the same network in numpy."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgemeter_agent.runtimes import LoadedModel, LoadOptions, TextModel, kind, loader
from edgemeter_protos.v1 import variant_pb2
from tests import tiny_llama

Weights = dict[str, npt.NDArray[np.float32]]

PROMPT = [40 + number % 90 for number in range(70)]
NEW = 24
GENERATION = variant_pb2.Generation(prompt_ids=PROMPT, new_tokens=NEW)

RUNTIMES = [
    pytest.param("llama.cpp", "gguf"),
    pytest.param("onnxruntime-genai", "genai", marks=pytest.mark.needs_torch),
]


@pytest.fixture
def artifact(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def scoring(runtime: str, artifact: str) -> LoadedModel:
    return loader(kind(runtime))(artifact, LoadOptions())


def writing(runtime: str, artifact: str, generation: variant_pb2.Generation = GENERATION) -> TextModel:
    model = loader(kind(runtime))(artifact, LoadOptions(generation=generation))
    assert hasattr(model, "decode")
    return model  # type: ignore[return-value]


@pytest.mark.parametrize(("runtime", "artifact"), RUNTIMES, indirect=["artifact"])
def test_likelihoods_are_the_networks_own(
    runtime: str, artifact: str, weights: Weights, windows: npt.NDArray[np.int32]
) -> None:
    model = scoring(runtime, artifact)
    # As the golden pair and the evaluation give them: windows one by one, each from an empty context.
    for window in [*windows, windows[0]]:
        model.prepare([window[None]])
        model.query()
        (nll,) = model.outputs()
        assert nll.shape == (1, 255)
        np.testing.assert_allclose(nll[0], tiny_llama.nll(weights, window.tolist()), atol=0.02)
        assert nll.mean() == pytest.approx(tiny_llama.nll(weights, window.tolist()).mean(), rel=5e-4)


@pytest.mark.parametrize(("runtime", "artifact"), RUNTIMES, indirect=["artifact"])
def test_several_windows_of_one_query_do_not_see_each_other(
    runtime: str, artifact: str, windows: npt.NDArray[np.int32]
) -> None:
    model = scoring(runtime, artifact)
    model.prepare([windows])
    model.query()
    (together,) = model.outputs()
    for number, window in enumerate(windows):
        model.prepare([window[None]])
        model.query()
        np.testing.assert_array_equal(model.outputs()[0][0], together[number])


@pytest.mark.parametrize(("runtime", "artifact"), RUNTIMES, indirect=["artifact"])
def test_it_writes_the_likeliest_tokens_of_the_network(runtime: str, artifact: str, weights: Weights) -> None:
    model = writing(runtime, artifact)
    model.prepare([])
    for _ in range(2):
        model.query()
        (tokens,) = model.outputs()
        assert tokens[0].tolist() == tiny_llama.written(weights, PROMPT, NEW)
        assert model.first_token_ns > 0
    assert len(set(tokens[0].tolist())) > 3, "a text of one token would hide mistakes"


@pytest.mark.parametrize(("runtime", "artifact"), RUNTIMES, indirect=["artifact"])
def test_decoding_goes_on_for_ever_and_spoils_no_generation(runtime: str, artifact: str) -> None:
    model = writing(runtime, artifact)
    model.query()
    before = model.outputs()[0].tolist()
    # Far beyond the context, were nothing forgotten.
    for _ in range(5 * (len(PROMPT) + NEW)):
        model.decode()
    model.query()
    assert model.outputs()[0].tolist() == before


@pytest.mark.parametrize(("runtime", "artifact"), RUNTIMES, indirect=["artifact"])
def test_the_end_of_a_text_is_a_token_like_others(runtime: str, artifact: str, weights: Weights) -> None:
    """Some prompt is looked for after which the network ends its text."""
    random = np.random.default_rng(1)
    for _ in range(3000):
        prompt = random.integers(0, tiny_llama.VOCABULARY, 3).tolist()
        if tiny_llama.written(weights, prompt, 1) == [tiny_llama.END]:
            break
    else:
        pytest.fail("the network never ends a text")
    model = writing(runtime, artifact, variant_pb2.Generation(prompt_ids=prompt, new_tokens=6))
    model.query()
    assert model.outputs()[0][0].tolist() == tiny_llama.written(weights, prompt, 6)


@pytest.mark.parametrize(("runtime", "artifact"), RUNTIMES, indirect=["artifact"])
def test_one_token_can_be_written(runtime: str, artifact: str, weights: Weights) -> None:
    model = writing(runtime, artifact, variant_pb2.Generation(prompt_ids=PROMPT, new_tokens=1))
    model.query()
    assert model.outputs()[0][0].tolist() == tiny_llama.written(weights, PROMPT, 1)
    for _ in range(5):
        model.decode()


@pytest.mark.parametrize(("runtime", "artifact"), RUNTIMES, indirect=["artifact"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (LoadOptions(batch_size=2), "one text at a time"),
        (LoadOptions(accelerator="cuda"), "has no accelerator 'cuda'"),
        (
            LoadOptions(generation=variant_pb2.Generation(prompt_ids=[900], new_tokens=2)),
            "a token 900, and the model has 257",
        ),
        (
            LoadOptions(generation=variant_pb2.Generation(prompt_ids=[9], new_tokens=2, context_tokens=2)),
            "do not fit into a context of 2",
        ),
    ],
)
def test_what_it_can_not_do_is_refused_in_a_line(
    runtime: str, artifact: str, options: LoadOptions, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        loader(kind(runtime))(artifact, options)


@pytest.mark.parametrize(("runtime", "artifact"), RUNTIMES, indirect=["artifact"])
def test_foreign_tokens_and_windows_are_refused(runtime: str, artifact: str) -> None:
    model = scoring(runtime, artifact)
    with pytest.raises(ValueError, match="a token 257, and the model has 257"):
        model.prepare([np.full((1, 256), 257)])
    with pytest.raises(ValueError, match="takes shape"):
        model.prepare([np.zeros((1, 100))])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello, I am no model", "it is no GGUF file: it does not begin with GGUF"),
        (b"", "it is no GGUF file"),
        # in llama.cpp's own words
        (b"GGUF" + bytes(200), "unknown model architecture|bad GGUF version"),
    ],
)
def test_a_file_that_is_no_gguf_is_said_in_a_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        scoring("llama.cpp", str(path))
    assert "\n" not in str(caught.value)


def test_half_a_gguf_is_said_to_be_one(gguf: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf.read_bytes()[:-5000])
    with pytest.raises(ValueError, match="not within the file bounds"):
        scoring("llama.cpp", str(cut))


def test_llama_cpp_prints_nothing(gguf: Path) -> None:
    """In a process of its own: whatever C code prints."""
    code = (
        "import sys\n"
        "from edgemeter_agent.runtimes import LoadOptions, kind, loader\n"
        "from edgemeter_protos.v1 import variant_pb2\n"
        "generation = variant_pb2.Generation(prompt_ids=range(9), new_tokens=3)\n"
        "model = loader(kind('llama.cpp'))(sys.argv[1], LoadOptions(generation=generation))\n"
        "model.query(); model.decode()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, gguf], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"model": {"decoder": {"filename": "../../elsewhere.onnx"}}},
            "which is no file of the model's folder",
        ),
        (
            {"model": {"decoder": {"session_options": {"custom_ops_library": "evil.so"}}}},
            "a model brings no code here",
        ),
        ({"model": {"vocab_size": "many"}}, "which is no number"),
        (None, "has 0 files genai_config.json"),
    ],
)
def test_a_configuration_that_reaches_outside_is_refused(
    genai: Path, change: dict[str, object] | None, said: str, tmp_path: Path
) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(genai) as given, zipfile.ZipFile(archive, "w") as made:
        for name in given.namelist():
            content = given.read(name)
            if name == "genai_config.json":
                if change is None:
                    continue
                content = json.dumps(merged(json.loads(content), change)).encode()
            made.writestr(name, content)
    with pytest.raises(ValueError, match=said):
        scoring("onnxruntime-genai", str(archive))


def merged(held: dict[str, object], change: dict[str, object]) -> dict[str, object]:
    for key, value in change.items():
        inner = held.get(key)
        held[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return held


def test_prompts_longer_than_a_batch_are_read_whole(gguf: Path, weights: Weights) -> None:
    prompt: Sequence[int] = [(7 * number) % 250 for number in range(500)]
    model = writing("llama.cpp", str(gguf), variant_pb2.Generation(prompt_ids=prompt, new_tokens=2))
    model.query()
    assert model.outputs()[0][0].tolist() == tiny_llama.written(weights, prompt, 2)
