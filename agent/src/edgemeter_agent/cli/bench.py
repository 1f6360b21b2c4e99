"""`edgemeter-agent bench`: measures models on this board without any coordinator."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgemeter_agent.cli import bench_report, plan_options, state_option
from edgemeter_agent.runtimes import FORMAT_OF_SUFFIX, RUNTIMES
from edgemeter_agent.state_dir import StateDir, state_root
from edgemeter_protos import plan_file
from edgemeter_protos.v1 import engine_pb2, result_pb2, variant_pb2

TFLITE_MAGIC = b"TFL3"
"""At offset 4: the identifier of a FlatBuffer of this schema."""
BAR_WIDTH = 30
MAX_TOKENS = 1 << 17
INTERRUPTED = 130

EXAMPLE = """example:
  edgemeter-agent bench model.tflite
  edgemeter-agent bench float32.tflite int8.tflite --profile standard --threads 2 --json
  edgemeter-agent bench model.onnx --scenario server --latency-bound 20ms
  edgemeter-agent bench model.tflite --sustain 10m --require-energy
  edgemeter-agent bench q8_0.gguf q4_0.gguf --prompt-tokens 256 --new-tokens 64 --details"""

PROMPT_TOKENS = 64
NEW_TOKENS = 48
PROMPT_IDS = range(32, 96)
"""A prompt of no meaning, over and over: there is no tokenizer here, and every vocabulary has these ids. How
fast a model writes does not depend on what."""

FAILED = (
    "load_failed",
    "golden_failed",
    "query_failed",
    "crashed",
    "hung",
    "no_runtime",
    "artifact_unreadable",
)
"""Verdict reasons that are the model's or the installation's fault, not the board's conditions."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bench",
        help="measure models here, without a coordinator",
        description="Measures models on this board, interleaved; the first is the baseline.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help=f"a {' or '.join(FORMAT_OF_SUFFIX)} file")
    parser.add_argument(
        "--prompt-tokens",
        type=_count,
        default=PROMPT_TOKENS,
        metavar="N",
        help=f"of a language model: tokens that it is given (default: {PROMPT_TOKENS})",
    )
    parser.add_argument(
        "--new-tokens",
        type=_count,
        default=NEW_TOKENS,
        metavar="N",
        help=f"of a language model: tokens that it writes (default: {NEW_TOKENS})",
    )
    parser.add_argument("--samples-dir", metavar="DIR", help="keep the raw samples (.npz) in this folder")
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object a model")
    parser.add_argument("--details", action="store_true", help="all that was measured of each model")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and measure nothing")
    state_option.add_to(parser)
    plan_options.add_to(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """0 where every model was measured, however noisy the board; 1 where one could not be."""
    try:
        plan = plan_options.plan_of(args)
        formats = [format_of(Path(model)) for model in args.models]
    except (ValueError, OSError) as error:
        return _refuse(str(error))
    if args.dry_run:
        print(plan_file.to_toml(plan), end="")
        return 0
    names = distinct_names(args.models)
    with contextlib.ExitStack() as stack:
        work_dir = args.samples_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="edgemeter-"))
        job = engine_pb2.EngineJob(
            plan=plan,
            variants=[
                engine_pb2.EngineVariant(
                    variant_id=name,
                    label=name,
                    format=format_,
                    artifact_path=model,
                    generation=generation_of(format_, args.prompt_tokens, args.new_tokens),
                )
                for name, format_, model in zip(names, formats, args.models, strict=True)
            ],
            work_dir=str(work_dir),
            meters=plan_options.specs_of(plan),
            calibrations_dir=str(StateDir(state_root(args.state_dir, os.environ)).calibrations_dir),
        )
        try:
            results = _measure(job)
        except KeyboardInterrupt:
            print("edgemeter-agent: interrupted; nothing was kept", file=sys.stderr)
            return INTERRUPTED
    if isinstance(results, str):
        return _refuse(results)
    sizes_bytes = [Path(model).stat().st_size for model in args.models]
    by_id = {name: name for name in names}
    documents = [bench_report.as_json(*each, by_id) for each in zip(names, sizes_bytes, results, strict=True)]
    if args.json:
        print(json.dumps(documents, indent=2))
    else:
        print(bench_report.as_table(names, sizes_bytes, results))
    if args.details and not args.json:
        print(f"\n{bench_report.as_details(documents)}", end="")
    broken = [
        f"{name}: {reason.detail}"
        for name, result in zip(names, results, strict=True)
        for reason in result.verdict.reasons
        if reason.code in FAILED
    ]
    return _refuse(*broken) if broken else 0


def format_of(path: Path) -> str:
    """What its name says, or a TFLite model's own mark.

    Raises ValueError, a line for the user, for a file that can't be read or is in no known format.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if head[4:8] == TFLITE_MAGIC:
        return "tflite"
    format_ = FORMAT_OF_SUFFIX.get(path.suffix.lower())
    if format_ is None:
        raise ValueError(f"{path} is in no known format: models have names in {', '.join(FORMAT_OF_SUFFIX)}")
    if format_ == "tflite":
        raise ValueError(f"{path} is no TFLite model: it does not have {TFLITE_MAGIC.decode()} at byte 4")
    return format_


def generation_of(format_: str, prompt_tokens: int, new_tokens: int) -> variant_pb2.Generation | None:
    """None for a format of models that write no text."""
    if not any(runtime.writes_text for runtime in RUNTIMES if format_ in runtime.formats):
        return None
    ids = [PROMPT_IDS[place % len(PROMPT_IDS)] for place in range(prompt_tokens)]
    return variant_pb2.Generation(prompt_ids=ids, new_tokens=new_tokens)


def distinct_names(paths: Sequence[str]) -> list[str]:
    """File names; the paths as given where two files have the same."""
    names = [Path(path).name for path in paths]
    if len(set(names)) < len(set(paths)):
        names = list(paths)
    # The same file twice is a fair A/A test.
    return [
        name if names.index(name) == n else f"{name} ({names[: n + 1].count(name)})"
        for n, name in enumerate(names)
    ]


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MAX_TOKENS:
        raise argparse.ArgumentTypeError(f"{count}; 1 to {MAX_TOKENS} are allowed")
    return count


def _measure(job: engine_pb2.EngineJob) -> list[result_pb2.Result] | str:
    """The results in the job's order, or why there are none."""
    # numpy is the engine's; `edgemeter-agent run` must not load it to show a help text.
    from edgemeter_agent.engine.job import run_job
    from edgemeter_agent.engine.lifeline import orderly_termination

    results: list[result_pb2.Result] = []
    failures: list[str] = []
    with _progress_bar() as show, orderly_termination():

        def take(event: engine_pb2.EngineEvent) -> None:
            if event.HasField("progress"):
                show(event.progress)
            elif event.HasField("result"):
                results.append(event.result.result)
            elif event.HasField("failure"):
                failures.append(event.failure.detail)

        run_job(job, take)
    return failures[0] if failures else results


@contextlib.contextmanager
def _progress_bar() -> Iterator[Any]:
    """One line on the error stream, and only where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _progress: None
        return

    def show(progress: engine_pb2.EngineProgress) -> None:
        filled = round(progress.fraction * BAR_WIDTH)
        line = f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {progress.fraction:4.0%}  {progress.phase}"
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r\x1b[K{line[: max(width - 1, 1)]}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _refuse(*lines: str) -> int:
    for line in lines:
        print(f"edgemeter-agent: {line}", file=sys.stderr)
    return 1
