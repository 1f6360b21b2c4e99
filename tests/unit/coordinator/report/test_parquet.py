"""Parquet has the CSV's columns, each of one type whatever was measured."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edgemeter_coordinator.report import export, parquet
from edgemeter_protos.v1 import lab_pb2
from tests.unit.coordinator.report.measured import measured, void_energy
from tests.unit.coordinator.report.responses import full, nothing_measured

EVERY = [full(), measured(), void_energy(), nothing_measured()]


def table(responses: list[lab_pb2.ListResultsResponse]) -> pa.Table:
    return pq.read_table(io.BytesIO(parquet.as_parquet(export.exported(responses))))


def test_columns_and_cells_are_those_of_the_csv() -> None:
    read = table(EVERY)
    assert read.column_names == export.columns()
    rows = csv.DictReader(io.StringIO(export.as_csv(export.exported(EVERY))))
    for mine, theirs in zip(read.to_pylist(), rows, strict=True):
        for name, text in theirs.items():
            value = mine[name]
            assert ("" if value is None else str(value)) == text or float(value) == float(text), name


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("study", "string"),
        ("size_bytes", "int64"),
        ("latency.p50_ns", "double"),
        ("latency.ci95_ns.low", "double"),
        ("device.emulated", "bool"),
        ("plan.seed", "int64"),
        ("conditions.before.frequency_hz", "int64"),
        ("operators.operators", "string"),
        ("metrics.device", "string"),
        ("energy.status", "string"),
    ],
)
def test_types_do_not_depend_on_what_was_measured(column: str, kind: str) -> None:
    assert str(table(EVERY).schema.field(column).type) == kind
    assert table([nothing_measured()]).schema == table(EVERY).schema == table([]).schema


def test_what_was_not_measured_is_null() -> None:
    (row,) = table([nothing_measured()]).to_pylist()
    assert row["latency.p50_ns"] is None
    assert row["energy.net_uj_per_inference"] is None


def test_lists_are_json() -> None:
    (row,) = table([measured()]).to_pylist()
    assert json.loads(row["verdict.reasons"]) == [{"code": "contention", "detail": "others ran"}]
