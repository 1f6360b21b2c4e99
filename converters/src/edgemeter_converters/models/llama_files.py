"""A Hugging Face folder packed as a .zip: out of it, and a folder of ours into one."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import llama, llama_shape, zip_members
from edgemeter_converters.models.llama_shape import LlamaShape, refuse
from edgemeter_protos.v1 import refusal_pb2

MAX_BYTES = 8 << 30
"""Of all its files once unpacked, and of its weights as float32."""

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""Of zip's calendar: a file's bytes follow from what is in it alone."""


def read(path: Path, file_name: str, folder: Path) -> None:
    """Puts the model in a .zip into an empty folder, as `models.llama` keeps it.

    Of the zip only `config.json`, `*.safetensors`, `tokenizer.json` and `origin.json` are looked at, at its
    top or one folder down.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    with tempfile.TemporaryDirectory(prefix="edgemeter-unpacked-", dir=folder.parent) as unpacked:
        source = Path(unpacked)
        try:
            with zipfile.ZipFile(path) as archive:
                zip_members.unpack(archive, _members(archive, file_name), source)
        except FileNotFoundError:
            refuse(file_name, "there is no such file")
        except zip_members.DAMAGE as error:
            refuse(file_name, f"it is no Hugging Face folder packed as a .zip ({type(error).__name__})")
        shape = llama_shape.from_config(_config(source / llama.CONFIG, file_name), file_name)
        check_size(shape, file_name)
        _copy_weights(source, folder, shape, file_name)
        for name in (llama.TOKENIZER, llama.ORIGIN):
            if (source / name).exists():
                shutil.move(source / name, folder / name)
    _check_tokenizer(folder / llama.TOKENIZER, shape, file_name)
    _check_origin(folder / llama.ORIGIN, file_name)


def pack(folder: Path, path: Path) -> None:
    """Writes a folder as `models.llama` keeps it into a .zip that `read` reads; nothing is compressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in (folder / name for name in llama.KEPT if (folder / name).exists()):
            info = zipfile.ZipInfo(file.name, _FIRST_DAY)
            with file.open("rb") as source, archive.open(info, "w", force_zip64=True) as member:
                shutil.copyfileobj(source, member, 1 << 20)


def check_size(shape: LlamaShape, file_name: str) -> None:
    """Nothing, where its weights fit into `MAX_BYTES` as float32.

    Raises:
        ConversionError: TOO_LARGE.
    """
    size_bytes = 4 * shape.parameters
    if size_bytes > MAX_BYTES:
        raise ConversionError(
            f"{file_name}: its weights take {size_bytes:,} bytes as float32, at most {MAX_BYTES:,} are read",
            reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
        )


def _members(archive: zipfile.ZipFile, file_name: str) -> dict[str, zipfile.ZipInfo]:
    """By their names in the folder."""
    infos = zip_members.looked_at(archive, file_name, MAX_BYTES, "a language model's folder")
    tops = {
        path.parent
        for path in (PurePosixPath(info.filename) for info in infos)
        if path.name == llama.CONFIG and len(path.parts) <= 2
    }
    if len(tops) != 1:
        refuse(file_name, f"a language model's .zip has one {llama.CONFIG}, at its top or one folder down")
    inside = {
        PurePosixPath(info.filename).name: info
        for info in infos
        if not info.is_dir() and {PurePosixPath(info.filename).parent} == tops
    }
    found = {
        name: info
        for name, info in inside.items()
        if name in (llama.CONFIG, llama.TOKENIZER, llama.ORIGIN) or name.endswith(".safetensors")
    }
    if not any(name.endswith(".safetensors") for name in found):
        pickled = next((name for name in inside if name.endswith(_PICKLES)), None)
        why = f"{pickled!r} would need unpickling" if pickled else "it holds no *.safetensors"
        refuse(file_name, f"{why}: save the model with save_pretrained(…, safe_serialization=True)")
    if llama.TOKENIZER not in found:
        refuse(file_name, f"it has no {llama.TOKENIZER}: save the fast tokenizer beside the model")
    return found


def _config(path: Path, file_name: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        refuse(file_name, f"its {llama.CONFIG} can't be read ({error})")
    if not isinstance(config, dict):
        refuse(file_name, f"its {llama.CONFIG} is no object")
    return config


def _copy_weights(source: Path, folder: Path, shape: LlamaShape, file_name: str) -> None:
    from safetensors import SafetensorError, safe_open

    shapes = shape.tensors()
    with ExitStack() as stack:
        homes: dict[str, Any] = {}
        for path in sorted(source.glob("*.safetensors")):
            try:
                file = stack.enter_context(safe_open(path, framework="pt"))
                homes |= dict.fromkeys(file.keys(), file)
            except SafetensorError as error:
                refuse(file_name, f"{path.name} can't be read ({error})")
        missing = [name for name in shapes if name not in homes]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            refuse(file_name, f"its weights lack {missing[0]}{others}, which its {llama.CONFIG} asks for")
        # A tied output matrix may be there all the same, and older files keep the rotations' frequencies.
        strange = [
            name
            for name in homes
            if name not in shapes and name != "lm_head.weight" and not name.endswith("rotary_emb.inv_freq")
        ]
        if strange:
            refuse(file_name, f"its weight {strange[0]!r} has no place in a plain Llama")
        for name, size in shapes.items():
            found = homes[name].get_slice(name)
            if tuple(found.get_shape()) != size:
                refuse(file_name, f"{name} is of shape {found.get_shape()}, its {llama.CONFIG} says {size}")
            if not found.get_dtype().startswith(("F", "BF")):
                refuse(file_name, f"{name} is of {found.get_dtype()}, not of floats: give the model in float")
        llama.write_weights(folder, shape, lambda name: homes[name].get_tensor(name))


def _check_tokenizer(path: Path, shape: LlamaShape, file_name: str) -> None:
    from tokenizers import Tokenizer

    try:
        tokens = Tokenizer.from_file(str(path)).get_vocab_size(with_added_tokens=True)
    except Exception as error:
        # The library raises nothing more precise.
        refuse(file_name, f"its {llama.TOKENIZER} can't be read ({str(error)[:200]})")
    if tokens > shape.vocabulary:
        refuse(file_name, f"its tokenizer knows {tokens:,} tokens, the model {shape.vocabulary:,}")


def _check_origin(path: Path, file_name: str) -> None:
    """One of ours, or none: a stranger's could not harm, but would be taken for what it says."""
    if not path.exists():
        return
    found = _config(path, file_name)
    notes = found.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        refuse(file_name, f"its {llama.ORIGIN} is none of edgemeter's")
