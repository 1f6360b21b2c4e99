"""`edgemeter data`: calibration, training and evaluation data that the coordinator knows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, note, print_json, print_table
from edgemeter_coordinator.cli.progress import Bars, upload_step

if TYPE_CHECKING:
    from edgemeter_protos.v1 import lab_pb2

app = noun("The data that the coordinator knows.")


@app.command(epilog=example("edgemeter data add photos/ --image-size 224x224"))
@with_coordinator
def add(
    where: Where,
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH|FUNCTION",
            help="An .npz, .npy, .parquet, .arrow or .txt file; a folder of such tables, or of class folders "
            "of pictures, or a .zip of one; or package.module:function, which the coordinator then calls.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="A name for it; the file's stem where left out.")] = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Pictures are resized to cover this and cut at the centre; needed where sizes differ.",
        ),
    ] = None,
    input_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="A table's input, in the model's order; may be repeated. Else all others."
        ),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A table's labels; else the column named label.")
    ] = None,
    tokenizer: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="A text's: the model whose tokenizer makes token ids of it, by name or digest.",
        ),
    ] = "",
    window_tokens: Annotated[
        int, typer.Option(metavar="TOKENS", help="A text's: tokens of one sample.", min=2, show_default="256")
    ] = 256,
    as_json: AsJson = False,
) -> None:
    """Uploads data and has it checked. Nothing is sent twice."""
    from edgemeter_coordinator.cli import records
    from edgemeter_coordinator.sdk import data_source

    size = data_source.image_size(image_size) if image_size is not None else None
    with where.connect() as lab, Bars() as bars:
        added = lab.add_dataset(
            source,
            name,
            image_size=size,
            input_columns=input_column or (),
            label_column=label_column,
            tokenizer=tokenizer,
            window_tokens=window_tokens if tokenizer else 0,
            progress=lambda done, total: bars.show([upload_step(Path(source), done, total)]),
        )
    if as_json:
        print_json({**records.dataset(added.dataset), "known": added.known})
        return
    note(f"{added.dataset.name}: known before" if added.known else f"{added.dataset.name}: added")
    _print([added.dataset])


@app.command(epilog=example("edgemeter data ls"))
@with_coordinator
def ls(where: Where, as_json: AsJson = False) -> None:
    """Lists the data."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        datasets = lab.datasets()
    if as_json:
        print_json([records.dataset(dataset) for dataset in datasets])
    else:
        _print(datasets)


def _print(datasets: Iterable[lab_pb2.Dataset]) -> None:
    from edgemeter_coordinator.cli import cells

    print_table(
        ("name", "digest", "size", "splits", "one sample", "classes", "added"),
        [
            (
                dataset.name,
                cells.digest(dataset.digest),
                cells.size(dataset.size_bytes),
                ", ".join(f"{split.name} {split.samples:,}" for split in dataset.splits),
                cells.tensors(dataset.inputs),
                str(dataset.classes or cells.NONE),
                cells.ago(dataset.added_at_unix_ms),
            )
            for dataset in datasets
        ],
        empty="no data yet: `edgemeter data add PATH` brings some",
    )
