"""llama.cpp's quantizer, run as the program that ik-llama-cpp-python brings along."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.llama_shape import LlamaShape
from edgemeter_converters.steps import Precision

KINDS = {
    Precision.Q8_0: "Q8_0",
    Precision.Q4_K_M: "Q4_K_M",
    Precision.Q4_0: "Q4_0",
    Precision.IQ4_NL: "IQ4_NL",
}
"""As the program calls them."""

_BLOCK = 256
"""Numbers that a block of Q4_K, Q5_K or Q6_K takes: rows of another length can't be cut into them."""

_THREADS = 1

_FELL_BACK = re.compile(r"required for (\w+) - using fallback quantization (\w+)")


def quantize(source: Path, target: Path, precision: Precision, shape: LlamaShape) -> Counter[tuple[str, str]]:
    """Writes a GGUF of floats as one of `KINDS`; the same bytes for the same file.

    Returns:
        How many matrices were wanted in one kind and written in another, by both.

    Raises:
        ConversionError: the program refuses the file, or is not there.
    """
    command = [str(_program()), *_rules(precision, shape)]
    command += [str(source), str(target), KINDS[precision], str(_THREADS)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0 or not target.exists():
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ConversionError(f"llama-quantize failed: {(said or ['it said nothing'])[-1][:300]}")
    fallbacks = [(found[1], found[2]) for found in _FELL_BACK.finditer(done.stdout + done.stderr)]
    return Counter(fallbacks)


def _rules(precision: Precision, shape: LlamaShape) -> list[str]:
    """Where this fork of llama.cpp would choose a kind of its own, which llama.cpp itself can't read.

    It is the values of attention where several heads share one, for which both want five bits. Not Q5_1: the
    fork's kernel for it was off by half a nat a token, on average, on a processor with AVX-512 VNNI.
    """
    if precision is not Precision.IQ4_NL or shape.heads == shape.key_heads:
        return []
    kind = "q5_K" if shape.hidden % _BLOCK == 0 else "q5_0"
    return ["--custom-q", rf"attn_v\.weight={kind}"]


def _program() -> Path:
    found = find_spec("ik_llama_cpp")
    if found is None or found.origin is None:
        raise ConversionError("to quantize a GGUF, install the package ik-llama-cpp-python")
    return Path(found.origin).parent / "bin" / "llama-quantize"
