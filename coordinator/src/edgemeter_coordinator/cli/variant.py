"""`edgemeter variant`: what models were compressed to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, note, print_json, print_table

if TYPE_CHECKING:
    from edgemeter_protos.v1 import lab_pb2, variant_pb2

app = noun("Variants: what models were compressed to, and how.")

Reference = Annotated[str, typer.Argument(metavar="VARIANT", help="Id, or the start of an id.")]


@app.command(epilog=example("edgemeter variant ls --model digits"))
@with_coordinator
def ls(
    where: Where,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="Of this one only: name, digest, or the start of a digest.")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, max=1000, help="How many; 0 for the usual number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Lists the variants, newest first."""
    from edgemeter_coordinator.cli import cells, records

    with where.connect() as lab:
        variants = lab.variants(model, limit=limit)
    if as_json:
        print_json([records.variant(variant) for variant in variants])
        return
    print_table(
        ("id", "model", "recipe", "state", "size", "quality", "data", "ended"),
        [
            (
                variant.id,
                variant.model_name,
                variant.recipe,
                records.variant_state(variant.state),
                cells.size(variant.manifest.size_bytes) if variant.HasField("manifest") else cells.NONE,
                f"{variant.manifest.quality.value:.4f}"
                if variant.manifest.HasField("quality")
                else cells.NONE,
                variant.dataset_name,
                cells.ago(variant.ended_at_unix_ms),
            )
            for variant in variants
        ],
        empty="no variants yet: `edgemeter bench --help` shows how to make some",
    )


@app.command(epilog=example("edgemeter variant show 4f2a"))
@with_coordinator
def show(where: Where, variant: Reference, as_json: AsJson = False) -> None:
    """Shows a variant: its file, its quality, what each step did, and with which tools."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        found = lab.variant(variant)
    if as_json:
        print_json(records.variant(found))
        return
    typer.echo(f"{found.id}  {found.recipe}  of {found.model_name}  {records.variant_state(found.state)}")
    if found.error:
        typer.echo(f"error: {found.error}")
    if found.HasField("manifest"):
        for name, fact in facts(found):
            typer.echo(f"{name:22}{fact}")
        _print_stages(found.manifest)
        for line in found.manifest.notes:
            typer.echo(f"note: {line}")


@app.command(epilog=example("edgemeter variant rebuild 4f2a"))
@with_coordinator
def rebuild(where: Where, variant: Reference, as_json: AsJson = False) -> None:
    """Builds a variant again from its original, and says whether the same file comes out.

    Nothing of it is kept. Exits with 1 where another file comes out though the tools promise the same.
    """
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        answer = lab.rebuild_variant(variant)
    if as_json:
        print_json(
            {
                "same": answer.same,
                "earlier": records.manifest(answer.earlier),
                "rebuilt": records.manifest(answer.rebuilt),
            }
        )
    else:
        typer.echo(verdict(answer))
        for line in differences(answer.earlier, answer.rebuilt):
            typer.echo(f"  {line}")
    if not answer.same and answer.earlier.deterministic and _same_tools(answer):
        raise typer.Exit(1)


@app.command(
    epilog=example("edgemeter variant download 4f2a --attachment adapter.safetensors -o adapter.safetensors")
)
@with_coordinator
def download(
    where: Where,
    variant: Reference,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Written whole or not at all.")
    ],
    attachment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The file of this name that is kept beside it (`edgemeter variant show`), or the start of"
            " its digest; else the file that runs.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes a variant's file, or one that is kept beside it, such as a LoRA adapter."""
    from edgemeter_coordinator.cli import cells
    from edgemeter_coordinator.sdk import variant_files

    with where.connect() as lab:
        found = lab.variant(variant)
        file = variant_files.chosen(found, attachment)
        lab.download(file.digest, output)
    if as_json:
        print_json(
            {
                "variant": found.id,
                "attachment": file.attachment or None,
                "file": str(output),
                "size_bytes": file.size_bytes,
                "digest": file.digest,
            }
        )
        return
    note(f"{output}: {file.attachment or found.recipe}, {cells.size(file.size_bytes)}")


@app.command(epilog=example("edgemeter variant layers 4f2a"))
@with_coordinator
def layers(where: Where, variant: Reference, as_json: AsJson = False) -> None:
    """Shows how far each layer's outputs are from those of the float32 encoding."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        found = lab.inspect_layers(variant)
    if as_json:
        print_json([records.layer_error(each) for each in found])
        return
    print_table(
        ("layer", "kind", "largest error", "SQNR"),
        [
            (
                each.layer,
                each.kind,
                f"{each.error.max_absolute:.4g}",
                f"{each.error.sqnr_db:.1f} dB" if each.error.HasField("sqnr_db") else "equal",
            )
            for each in found
        ],
        empty="it has no layers that can be compared",
    )
    note("SQNR: signal to quantization noise ratio; a low one is where quality is lost")


def facts(variant: lab_pb2.Variant) -> list[tuple[str, str]]:
    """What is known of a ready variant, a line each."""
    from edgemeter_coordinator.cli import cells
    from edgemeter_coordinator.report.numbers import bits_per_weight, sparsity

    one = variant.manifest
    bits, zero = bits_per_weight(one), sparsity(one)
    return [
        ("file", f"{cells.size(one.size_bytes)}, {cells.size(one.compressed_size_bytes)} with zstd"),
        (
            "parameters",
            f"{cells.count(one.parameters)}, {one.non_zero_parameters:,} of them not zero"
            + (f" (sparsity {zero:.1%})" if zero is not None else ""),
        ),
        ("multiply-accumulates", cells.count(one.macs)),
        ("bits per weight", cells.NONE if bits is None else f"{bits:.2f}"),
        ("quality", cells.quality(one.quality) if one.HasField("quality") else "not scored"),
        (
            "against the original",
            cells.quality(one.agreement) if one.HasField("agreement") else cells.NONE,
        ),
        ("output error", _output_error(one)),
        ("left in float", ", ".join(one.kept_layers) or cells.NONE),
        ("runs on", " or ".join(map(cells.requirement, one.runtimes)) or "the coordinator only"),
        (
            "conversion",
            f"{cells.duration(one.conversion_duration_ns / 1e6)}, peak memory "
            + (cells.size(one.conversion_peak_rss_bytes) if one.conversion_peak_rss_bytes else "not known"),
        ),
        ("tools", ", ".join(f"{name} {version}" for name, version in sorted(one.tool_versions.items()))),
        ("seed", str(one.seed)),
        (
            "built again",
            "gives the same digest, as far as its tools promise"
            if one.deterministic
            else "may give another digest: its tools don't promise the same",
        ),
        ("digest", one.artifact_digest),
        *(
            ("beside it", f"{each.name}, {cells.size(each.size_bytes)}: {each.about}; {each.digest}")
            for each in one.attachments
        ),
        ("data", variant.dataset_name),
    ]


def verdict(answer: lab_pb2.RebuildVariantResponse) -> str:
    """Whether the same came out, and whether that was to be expected."""
    if answer.same:
        return f"the same file: {answer.rebuilt.artifact_digest}"
    if not answer.earlier.deterministic:
        return "another file, as may be: the tools of this recipe don't promise the same one"
    if not _same_tools(answer):
        return "another file: the tools are of other versions now"
    return "another file, though its tools promise the same one"


def differences(earlier: variant_pb2.Manifest, rebuilt: variant_pb2.Manifest) -> list[str]:
    """One line for each thing in which the two differ."""
    from edgemeter_coordinator.cli import cells

    lines = []
    if earlier.artifact_digest != rebuilt.artifact_digest:
        lines.append(
            f"digest: {cells.digest(earlier.artifact_digest)} → {cells.digest(rebuilt.artifact_digest)}"
        )
    if earlier.size_bytes != rebuilt.size_bytes:
        lines.append(f"size: {earlier.size_bytes:,} → {rebuilt.size_bytes:,} bytes")
    if earlier.quality != rebuilt.quality:
        lines.append(f"quality: {cells.quality(earlier.quality)} → {cells.quality(rebuilt.quality)}")
    for name in sorted(set(earlier.tool_versions) | set(rebuilt.tool_versions)):
        before, now = (each.tool_versions.get(name, "none") for each in (earlier, rebuilt))
        if before != now:
            lines.append(f"{name}: {before} → {now}")
    return lines


def _same_tools(answer: lab_pb2.RebuildVariantResponse) -> bool:
    return dict(answer.earlier.tool_versions) == dict(answer.rebuilt.tool_versions)


def _output_error(one: variant_pb2.Manifest) -> str:
    if not one.HasField("output_error"):
        return "not compared"
    error = one.output_error
    ratio = f"{error.sqnr_db:.1f} dB" if error.HasField("sqnr_db") else "none"
    return f"largest {error.max_absolute:.4g}, SQNR {ratio} (n {error.samples})"


def _print_stages(one: variant_pb2.Manifest) -> None:
    from edgemeter_coordinator.cli import cells

    if not one.stages:
        return
    print_table(
        ("step", "took", "parameters", "not zero", "MACs", "epochs", "loss", ""),
        [
            (
                each.step,
                cells.duration(each.duration_ns / 1e6) + (" earlier" if each.reused else ""),
                cells.count(each.parameters),
                cells.count(each.non_zero_parameters),
                cells.count(each.macs),
                str(each.epochs or cells.NONE),
                f"{each.first_loss:.4f} → {each.last_loss:.4f}" if each.HasField("last_loss") else cells.NONE,
                " ".join(each.notes),
            )
            for each in one.stages
        ],
        empty="",
    )
