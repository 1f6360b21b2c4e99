"""onnxruntime-genai's own builder, run as a program: a language model's folder into one that it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import llama

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
"""It is given all that it needs."""

_WITHOUT_PROGRESS = {"TQDM_DISABLE": "1"}


def build(folder: Path, target: Path, work_dir: Path) -> None:
    """Writes 4-bit weights in blocks of 32, for the processor, into `target`.

    Args:
        folder: a model, as `models.llama` keeps it.
        work_dir: for the builder's own files.

    Raises:
        ConversionError: the builder refuses the model; its last line.
    """
    # A name of its own: some of what is in the folder's name would end up in the file.
    source = work_dir / "model"
    source.mkdir()
    for name in (llama.CONFIG, llama.TOKENIZER):
        shutil.copyfile(folder / name, source / name)
    (source / llama.WEIGHTS).symlink_to(folder / llama.WEIGHTS)
    # The one class that takes tokenizer.json as it is, and guesses nothing from the architecture.
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": llama.shape_of(folder).context}
    (source / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-p", "int4", "-e", "cpu"]
    command += ["-i", str(source), "-o", str(target), "-c", str(work_dir / "cache")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, **_OFFLINE, **_WITHOUT_PROGRESS},
    )
    if done.returncode != 0 or not (target / "genai_config.json").exists():
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        why = (said or ["it said nothing"])[-1][:300]
        raise ConversionError(f"onnxruntime-genai's builder can't write the model: {why}")
