"""A tokenizer as a GGUF tells it, made into Hugging Face's tokenizer.json, and the other way round.

What a GGUF tells is a mapping of its `tokenizer.*` keys: texts, numbers and lists of them. llama.cpp knows
how a text is cut before merging by a name alone, `tokenizer.ggml.pre`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.llama_shape import refuse
from edgemeter_protos.v1 import refusal_pb2

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""gguf.TokenType."""

_LLAMA3_CUTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)

_SPACE = "\u2581"


def to_json(metadata: Mapping[str, Any], file_name: str) -> str:
    """tokenizer.json of a GGUF's tokenizer.

    Raises:
        ConversionError: NOT_A_MODEL, it is of a kind that is not known here.
    """
    model = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        refuse(file_name, "it tells no tokens")
    if model == "gpt2":
        made = _byte_level(metadata, tokens, file_name)
    elif model == "llama":
        made = _sentence_piece(metadata, tokens, file_name)
    else:
        refuse(file_name, f"its tokenizer is of kind {model!r}; known are 'gpt2' and 'llama'")
    from tokenizers import AddedToken

    types = metadata.get("tokenizer.ggml.token_type") or []
    for token, kind in zip(tokens, types, strict=False):
        if kind == CONTROL:
            made.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == USER_DEFINED:
            made.add_tokens([AddedToken(token, normalized=False)])
    text: str = made.to_str()
    return text


def from_json(path: Path, vocabulary: int) -> dict[str, Any]:
    """What a GGUF tells of the tokenizer in a tokenizer.json.

    Args:
        vocabulary: tokens that the model knows; those that the tokenizer has no text for are named `[PADn]`.

    Raises:
        ConversionError: llama.cpp has no tokenizer of that kind.
    """
    told = json.loads(path.read_text(encoding="utf-8"))
    model = told["model"]
    if model.get("type") != "BPE":
        _refuse(f"its tokenizer is of type {model.get('type')!r}, a GGUF takes byte pair encodings")
    added = {each["id"]: each for each in told.get("added_tokens", ())}
    texts = {at: text for text, at in model["vocab"].items()} | {
        at: each["content"] for at, each in added.items()
    }
    tokens = [texts.get(at, f"[PAD{at}]") for at in range(vocabulary)]
    types = [_type(texts.get(at), added.get(at)) for at in range(vocabulary)]
    metadata: dict[str, Any] = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    if model.get("byte_fallback"):
        # SentencePiece merges by score; Hugging Face's ids are in the order of those.
        types = [
            BYTE if len(token) == 6 and token.startswith("<0x") else kind
            for token, kind in zip(tokens, types, strict=True)
        ]
        return {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.pre": "default",
            **metadata,
            "tokenizer.ggml.token_type": types,
            "tokenizer.ggml.scores": [-float(at) for at in range(vocabulary)],
            "tokenizer.ggml.add_bos_token": False,
        }
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _cuts(_parts(told.get("pre_tokenizer"))),
        **metadata,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_bos_token": False,
    }


def vocabulary_digest(path: Path) -> str:
    """SHA-256 of what each id of a tokenizer.json stands for, lower-case hexadecimal: token ids mean the same
    to two models whose digests are equal."""
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True)
    in_order = sorted((at, text) for text, at in vocabulary.items())
    return hashlib.sha256(json.dumps(in_order).encode()).hexdigest()


def _byte_level(metadata: Mapping[str, Any], tokens: Sequence[str], file_name: str) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    cuts: dict[str, list[Any]] = {
        "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
        "smollm": [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ],
        "llama-bpe": [
            pre_tokenizers.Split(Regex(_LLAMA3_CUTS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ],
    }
    cuts["default"] = cuts["gpt-2"]
    name = str(metadata.get("tokenizer.ggml.pre", "default"))
    if name not in cuts:
        refuse(file_name, f"its tokenizer cuts texts as {name!r}; known are {', '.join(sorted(cuts))}")
    merges = [tuple(each.split(" ", 1)) for each in metadata.get("tokenizer.ggml.merges") or ()]
    vocabulary = _used(metadata, tokens)
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=name == "llama-bpe"))
    made.pre_tokenizer = pre_tokenizers.Sequence(cuts[name])
    made.decoder = decoders.ByteLevel()
    return made


def _sentence_piece(metadata: Mapping[str, Any], tokens: Sequence[str], file_name: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        refuse(file_name, "its tokenizer has no score for each token")
    vocabulary = _used(metadata, tokens)
    found = [
        (scores[at], vocabulary[left], vocabulary[right], (left, right))
        for at, token in enumerate(tokens)
        for cut in range(1, len(token))
        if (left := token[:cut]) in vocabulary and (right := token[cut:]) in vocabulary
    ]
    # The likeliest token first; of two ways to one token, that of the likelier parts.
    merges = [pair for _, _, _, pair in sorted(found, key=lambda each: (-each[0], each[1], each[2]))]
    types = metadata.get("tokenizer.ggml.token_type") or []
    unknown = next((token for token, kind in zip(tokens, types, strict=False) if kind == UNKNOWN), None)
    made = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    begin = [normalizers.Prepend(_SPACE)] if metadata.get("tokenizer.ggml.add_space_prefix", True) else []
    made.normalizer = normalizers.Sequence([*begin, normalizers.Replace(" ", _SPACE)])
    made.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return made


def _used(metadata: Mapping[str, Any], tokens: Sequence[str]) -> dict[str, int]:
    """Ids by token, without those that only fill a model's table up."""
    types = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    return {token: at for at, (token, kind) in enumerate(zip(tokens, types, strict=True)) if kind != UNUSED}


def _type(text: str | None, added: Mapping[str, Any] | None) -> int:
    if text is None:
        return UNUSED
    if added is None:
        return NORMAL
    return CONTROL if added.get("special") else USER_DEFINED


def _parts(pre_tokenizer: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if pre_tokenizer is None:
        return []
    if pre_tokenizer["type"] == "Sequence":
        return [part for each in pre_tokenizer["pretokenizers"] for part in _parts(each)]
    return [pre_tokenizer]


def _cuts(parts: Sequence[Mapping[str, Any]]) -> str:
    """llama.cpp's name of how a text is cut before merging."""
    kinds = [part["type"] for part in parts]
    last = parts[-1] if parts else {}
    if last.get("type") == "ByteLevel" and not last.get("add_prefix_space"):
        if kinds == ["ByteLevel"]:
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
            return "smollm"
        if kinds == ["Split", "ByteLevel"] and parts[0].get("pattern") == {"Regex": _LLAMA3_CUTS}:
            return "llama-bpe"
    return _refuse(
        f"its tokenizer cuts texts by {', '.join(kinds) or 'nothing'}; a GGUF can tell the ways of GPT-2 "
        "(ByteLevel), SmolLM (Digits, ByteLevel) and Llama 3"
    )


def _refuse(what: str) -> NoReturn:
    raise ConversionError(
        f"the model can't be written as a GGUF: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL
    )
