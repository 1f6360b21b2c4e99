"""`edgemeter bench`: compress a model, measure it on boards, print the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli.completion import complete_profile, complete_recipe
from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.output import AsJson, example, note, print_json, print_table
from edgemeter_coordinator.cli.progress import Bars, upload_step
from edgemeter_coordinator.cli.study import finish, follow, print_state

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.study import Study
    from edgemeter_protos.v1 import lab_pb2

EXAMPLE = example(
    "edgemeter bench model.keras --data digits.npz --recipe float32 --recipe int8 --device board=pi5"
)


def parse_numbers(pairs: list[str]) -> dict[str, int]:
    """Plan numbers of "block_min_queries=500" each. Raises typer.BadParameter."""
    numbers: dict[str, int] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            numbers[name.strip()] = int(value)
        except ValueError:
            raise typer.BadParameter(
                f"'{pair}' sets no number of the plan: write NAME=NUMBER, as in blocks=8"
            ) from None
    return numbers


@with_coordinator
def bench(
    where: Where,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A file, a SavedModel's folder, package.module:function, or the name or digest of a model "
            "known there.",
        ),
    ],
    recipe: Annotated[
        list[str],
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            help="May be repeated; the first is the baseline.",
            autocompletion=complete_recipe,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Data to evaluate, calibrate and train with: a file, a folder, package.module:function, "
            "or a name known there.",
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            metavar="LABEL=VALUE|NAME|all",
            help="May be repeated: any one match is enough. All where left out.",
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="quick|standard|publication",
            help="How long and how often to measure.",
            autocompletion=complete_profile,
        ),
    ] = "standard",
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads of the runtime; the profile says 1.")
    ] = None,
    numbers: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=NUMBER", help="Replaces a number of the plan, as in blocks=8."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The study's name; made up where left out.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Upload, check, and say what would be built and how long it would take."
        ),
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Submit, print the study, and return.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compresses a model, measures it on boards, and prints what came out.

    Exits with 1 where the study failed. Ctrl-C leaves the study running.
    """
    from edgemeter_coordinator.sdk.lab import resolve_plan

    plan = parse_numbers(numbers or [])
    if threads is not None:
        plan["threads"] = threads
    # Before they become keyword arguments, some of which are no numbers of a plan.
    resolve_plan(profile, plan)
    with where.connect() as lab:
        with Bars() as bars:
            study = lab.bench(
                model,
                data,
                recipes=recipe,
                devices=device or ("all",),
                profile=profile,
                name=name,
                dry_run=dry_run,
                progress=lambda path, done, total: bars.show([upload_step(path, done, total)]),
                **plan,
            )
        if dry_run or no_wait:
            _print_submitted(study, dry_run=dry_run, as_json=as_json)
            return
        note(f"study {study.name} ({study.id})")
        follow(study)
        finish(study, as_json=as_json)


def _print_submitted(study: Study, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        from edgemeter_coordinator.cli import records

        print_json(records.study(study.last))
        return
    if dry_run:
        print_price(study.last)
        note("a dry run: nothing was created")
        return
    print_state(study.last)
    note(f"`edgemeter study watch {study.name}` follows it")


def print_price(study: lab_pb2.Study) -> None:
    """What is there, what would be built, and about how long that takes."""
    from edgemeter_coordinator.cli import cells, records

    print_table(
        ("variant", "to do", "begins with", "about"),
        [
            (
                variant.recipe,
                _to_do(variant.reused, records.variant_state(variant.state)),
                variant.reused_steps or cells.NONE,
                cells.NONE
                if variant.reused
                else cells.duration(variant.estimated_duration_ms)
                if variant.HasField("estimated_duration_ms")
                else "not known yet",
            )
            for variant in study.variants
        ],
        empty="no variants",
    )
    building = [variant for variant in study.variants if not variant.reused]
    known = [
        variant.estimated_duration_ms for variant in building if variant.HasField("estimated_duration_ms")
    ]
    if known:
        rest = len(building) - len(known)
        note(
            f"about {cells.duration(sum(known))} of work for a conversion worker"
            + (f", and {rest} more of which nothing is known" if rest else "")
        )
    print_table(
        ("device", ""),
        [
            (job.device_name, "would measure at once" if not building else "waits for the variants")
            for job in study.jobs
        ],
        empty="no devices",
    )


def _to_do(reused: bool, state: str) -> str:
    if reused:
        return "nothing: built earlier"
    return "build" if state == "waiting" else f"nothing: {state} for another study"
