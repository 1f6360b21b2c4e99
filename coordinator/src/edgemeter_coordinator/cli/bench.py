"""`edgemeter bench`: compress a model, measure it on boards, print the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli import plan_options
from edgemeter_coordinator.cli.completion import complete_recipe
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
    profile: plan_options.Profile = None,
    plan: plan_options.PlanFile = None,
    numbers: plan_options.Numbers = None,
    scenario: plan_options.Scenario = None,
    batch: plan_options.Batch = None,
    samples_per_query: plan_options.SamplesPerQuery = None,
    target_qps: plan_options.TargetQps = None,
    latency_bound: plan_options.LatencyBound = None,
    threads: plan_options.Threads = None,
    accelerator: plan_options.Accelerator = None,
    affinity: plan_options.Affinity = None,
    require_energy: plan_options.RequireEnergy = False,
    meter: plan_options.Meter = None,
    sustain: plan_options.Sustain = None,
    operators: plan_options.Operators = None,
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
    from edgemeter_coordinator.sdk.plan import resolve_plan

    asked = plan_options.overrides(
        numbers,
        affinity=affinity,
        latency_bound=latency_bound,
        sustain=sustain,
        scenario=scenario,
        batch_size=batch,
        samples_per_query=samples_per_query,
        target_qps=target_qps,
        threads=threads,
        accelerator=accelerator,
        require_energy=require_energy,
        meter=meter,
        profiled_queries=operators,
    )
    # Before they become keyword arguments, some of which are no numbers of a plan.
    resolve_plan(profile, asked, plan)
    with where.connect() as lab:
        with Bars() as bars:
            study = lab.bench(
                model,
                data,
                recipes=recipe,
                devices=device or ("all",),
                profile=profile,
                plan_file=plan,
                name=name,
                dry_run=dry_run,
                progress=lambda path, done, total: bars.show([upload_step(path, done, total)]),
                **asked,
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
    """What is there, what would be built and how it would be measured, and about how long that takes."""
    from edgemeter_coordinator.cli import cells, records
    from edgemeter_coordinator.report import plan_view

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
    print_table(("plan", ""), plan_view.numbers(study.plan), empty="no plan")
    note(f"measuring takes {plan_view.estimate(study.plan, len(study.variants))}")
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
