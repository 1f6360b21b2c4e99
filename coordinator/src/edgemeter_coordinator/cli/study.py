"""`edgemeter study`: what was submitted, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import (
    AsJson,
    example,
    note,
    print_comparison,
    print_error,
    print_json,
    print_table,
)
from edgemeter_coordinator.cli.progress import Bars, study_steps

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.study import Study
    from edgemeter_protos.v1 import lab_pb2

app = noun("Studies: what was submitted, and how far it is.")

Reference = Annotated[str, typer.Argument(metavar="STUDY", help="Id, name, or the start of an id.")]


@app.command(epilog=example("edgemeter study ls --limit 5"))
@with_coordinator
def ls(
    where: Where,
    limit: Annotated[int, typer.Option(min=0, max=1000, help="How many; 0 for the usual number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Lists the studies, newest first."""
    from edgemeter_coordinator.cli import cells, records

    with where.connect() as lab:
        studies = [study.last for study in lab.studies(limit)]
    if as_json:
        print_json([records.study(study) for study in studies])
        return
    print_table(
        ("name", "id", "state", "model", "data", "variants", "devices", "by", "created"),
        [
            (
                study.name,
                cells.digest(study.id),
                records.study_state(study.state),
                study.model_name,
                study.dataset_name or cells.NONE,
                str(len(study.variants)),
                ", ".join(job.device_name for job in study.jobs),
                study.created_by,
                cells.ago(study.created_at_unix_ms),
            )
            for study in studies
        ],
        empty="no studies yet: `edgemeter bench --help` shows how to submit one",
    )


@app.command(epilog=example("edgemeter study show digits-1"))
@with_coordinator
def show(where: Where, study: Reference, as_json: AsJson = False) -> None:
    """Shows a study: its variants, its jobs with why they wait or failed, and its results so far."""
    with where.connect() as lab:
        found = lab.study(study)
        if as_json:
            from edgemeter_coordinator.cli import records

            print_json(records.study(found.last))
        else:
            print_state(found.last)
            print_results(found)


@app.command(epilog=example("edgemeter study watch digits-1"))
@with_coordinator
def watch(where: Where, study: Reference, as_json: AsJson = False) -> None:
    """Follows a study until it ends, then prints its results. Exits with 1 where it failed."""
    with where.connect() as lab:
        found = lab.study(study)
        follow(found)
        finish(found, as_json=as_json)


@app.command(epilog=example("edgemeter study cancel digits-1"))
@with_coordinator
def cancel(where: Where, study: Reference, as_json: AsJson = False) -> None:
    """Stops what runs of a study and drops what waits; results that are there stay."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        cancelled = lab.study(study).cancel()
    if as_json:
        print_json(records.study(cancelled))
    else:
        note(f"{cancelled.name}: {records.study_state(cancelled.state)}")


def follow(study: Study) -> None:
    """Draws a study's progress until it has ended."""
    try:
        with Bars() as bars:
            study.wait(progress=lambda last: bars.show(study_steps(last)))
    except KeyboardInterrupt:
        note(
            f"the study goes on: `edgemeter study watch {study.name}`, `edgemeter study cancel {study.name}`"
        )
        raise


def finish(study: Study, *, as_json: bool) -> None:
    """Prints an ended study's results, those of an export; raises typer.Exit(1) where it did not complete."""
    if as_json:
        print_json(study.results())
    else:
        print_results(study)
    if study.state != "completed":
        print_error(f"study {study.name} {study.state}")
        for line in failures(study.last):
            note(f"  {line}")
        raise typer.Exit(1)


def failures(study: lab_pb2.Study) -> list[str]:
    """One line for each variant and each job that failed."""
    from edgemeter_coordinator.cli import records

    variants = [
        f"{variant.recipe}: {variant.error or 'no reason given'}"
        for variant in study.variants
        if records.variant_state(variant.state) == "failed"
    ]
    jobs = [
        f"{job.device_name}: {job.detail or 'no reason given'}"
        for job in study.jobs
        if records.job_state(job.state) == "failed"
    ]
    return variants + jobs


def print_state(study: lab_pb2.Study) -> None:
    """Variants and jobs, a line each."""
    from edgemeter_coordinator.cli import records

    typer.echo(
        f"{study.name}  {records.study_state(study.state)}  (id {study.id}, profile {study.plan.profile})"
    )
    print_table(
        ("variant", "state", ""),
        [
            (
                variant.recipe,
                records.variant_state(variant.state),
                variant.error or ("built by an earlier study" if variant.reused else _progress(variant)),
            )
            for variant in study.variants
        ],
        empty="no variants",
    )
    print_table(
        ("device", "state", "done", "attempt", ""),
        [
            (
                job.device_name,
                records.job_state(job.state),
                f"{job.fraction:.0%}",
                str(job.attempt),
                job.detail or job.phase,
            )
            for job in study.jobs
        ],
        empty="no jobs",
    )


def _progress(variant: lab_pb2.StudyVariant) -> str:
    return f"{variant.fraction:.0%} {variant.phase}" if variant.phase else ""


def print_results(study: Study) -> None:
    """The table of results, where there are any."""
    if not print_comparison(study.responses(), title=f"{study.name}: {study.last.model_name}"):
        note("no results yet" if not study.ended else "no results")
