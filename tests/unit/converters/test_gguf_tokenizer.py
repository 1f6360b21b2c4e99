from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import gguf_tokenizer
from tests import learning_llama

TEXT = "the meter reads 1234 watts,\n\n and  rests — naïve 日本 it's DON'T\t."


def saved(tokenizer: Any, folder: Path) -> Path:
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def cut(*parts: Any) -> Any:
    """The tokenizer of the tests, cutting texts in another way."""
    made = learning_llama.tokenizer()
    made.pre_tokenizer = pre_tokenizers.Sequence([*parts])
    return made


CUTS: dict[str, list[Any]] = {
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "smollm": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ],
}


@pytest.mark.parametrize("name", CUTS)
def test_what_a_gguf_tells_makes_the_same_tokenizer(name: str, tmp_path: Path) -> None:
    made = cut(*CUTS[name])
    made.add_special_tokens(["<|end|>"])
    made.add_tokens(["[user]"])
    path = saved(made, tmp_path)
    metadata = gguf_tokenizer.from_json(path, made.get_vocab_size() + 3)
    assert metadata["tokenizer.ggml.model"] == "gpt2"
    assert metadata["tokenizer.ggml.pre"] == name
    types = metadata["tokenizer.ggml.token_type"]
    assert types[-5:] == [
        gguf_tokenizer.CONTROL,
        gguf_tokenizer.USER_DEFINED,
        *[gguf_tokenizer.UNUSED] * 3,
    ]
    again = Tokenizer.from_str(gguf_tokenizer.to_json(metadata, "m.gguf"))
    text = f"{TEXT}<|end|>[user]"
    assert again.encode(text).ids == made.encode(text).ids
    assert again.decode(made.encode(TEXT).ids) == TEXT
    (tmp_path / "again.json").write_text(again.to_str())
    assert gguf_tokenizer.vocabulary_digest(tmp_path / "again.json") == gguf_tokenizer.vocabulary_digest(path)


def test_sentence_pieces_come_back_from_their_scores(tmp_path: Path) -> None:
    # As Llama 2's: bytes for what no token says, tokens in the order of their scores.
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    merges = [("\u2581", "t"), ("h", "e"), ("\u2581t", "he"), ("a", "t"), ("at", "t")]
    pieces += ["".join(pair) for pair in merges]
    pieces += ["\u2581", *"abcdefghijklmnopqrstuvwxyz."]
    made = Tokenizer(
        models.BPE(
            {piece: at for at, piece in enumerate(pieces)},
            merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback()])
    metadata = gguf_tokenizer.from_json(saved(made, tmp_path), len(pieces))
    assert metadata["tokenizer.ggml.model"] == "llama"
    assert metadata["tokenizer.ggml.token_type"][3:5] == [gguf_tokenizer.BYTE] * 2
    again = Tokenizer.from_str(gguf_tokenizer.to_json(metadata, "m.gguf"))
    for text in ("the watt that watts", "naïve 日本", " the  the"):
        assert again.encode(text).ids == made.encode(text).ids


def test_digests_are_of_what_ids_stand_for(tmp_path: Path) -> None:
    first = learning_llama.tokenizer()
    told = json.loads(first.to_str())
    vocabulary = told["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "tokenizer.json").write_text(json.dumps(told))
    digests = {
        gguf_tokenizer.vocabulary_digest(saved(first, tmp_path / "one")),
        gguf_tokenizer.vocabulary_digest(tmp_path / "two" / "tokenizer.json"),
    }
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"tokenizer.ggml.model": "bert"}, "of kind 'bert'; known are", id="another kind"),
        pytest.param({"tokenizer.ggml.pre": "qwen2"}, "cuts texts as 'qwen2'; known are", id="another cut"),
        pytest.param({"tokenizer.ggml.tokens": None}, "it tells no tokens", id="no tokens"),
        pytest.param({"tokenizer.ggml.model": "llama"}, "no score for each token", id="no scores"),
    ],
)
def test_tokenizers_that_are_not_known_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    metadata = gguf_tokenizer.from_json(saved(learning_llama.tokenizer(), tmp_path), 320) | change
    with pytest.raises(ConversionError, match=said):
        gguf_tokenizer.to_json(metadata, "m.gguf")


@pytest.mark.parametrize(
    ("tokenizer", "said"),
    [
        pytest.param(Tokenizer(models.WordLevel({"a": 0}, "a")), "of type 'WordLevel'", id="no pairs"),
        pytest.param(
            cut(pre_tokenizers.Whitespace()), "cuts texts by Whitespace; a GGUF can tell", id="spaces"
        ),
        pytest.param(
            cut(pre_tokenizers.ByteLevel(add_prefix_space=True)), "cuts texts by ByteLevel", id="prefix"
        ),
    ],
)
def test_what_no_gguf_can_tell_is_refused(tmp_path: Path, tokenizer: Any, said: str) -> None:
    with pytest.raises(ConversionError, match=said) as refused:
        gguf_tokenizer.from_json(saved(tokenizer, tmp_path), 320)
    assert "\n" not in refused.value.message
