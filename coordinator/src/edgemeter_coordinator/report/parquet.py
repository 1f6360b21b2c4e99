"""Results as Parquet: the columns of the CSV export, each of one type whatever a study holds. Pure."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from edgemeter_coordinator.report import export
from edgemeter_protos.report.absent import Exported


class NoPyarrow(Exception):
    """pyarrow is not installed; the message is one line."""


def as_parquet(objects: Iterable[Exported]) -> bytes:
    """The file. A value that was not measured is null; lists and maps whose length differs from row to row
    are JSON text, as in the CSV. Raises NoPyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise NoPyarrow(
            "Parquet needs pyarrow, which is not installed here: pip install 'edgemeter-converters[data]'"
        ) from None
    kinds = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}
    rows = [export.flattened(each) for each in objects]
    types = column_kinds()
    columns = {
        name: pa.array([_cell(row.get(name), types[name]) for row in rows], type=kinds[types[name]])
        for name in export.columns()
    }
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression="zstd")
    return file.getvalue()


def column_kinds() -> dict[str, str]:
    """Column name to "integer", "number", "boolean" or "string", by the export's schema."""
    schema = export.schema()
    whole = schema["$defs"]["result"]
    return {name: _kind(name, whole, schema["$defs"]) for name in export.columns()}


def _kind(name: str, node: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if name in export.OPEN_COLUMNS:
        return "string"
    if name.rpartition(".")[0] in export.PAIRS:
        return "number"
    for part in name.split("."):
        node = _resolved(node, definitions)["properties"][part]
    allowed = _resolved(node, definitions)
    types = allowed.get("type", "string")
    named = [types] if isinstance(types, str) else [each for each in types if each != "null"]
    return named[0] if len(named) == 1 and named[0] in ("integer", "number", "boolean") else "string"


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The definition that a reference leads to; of alternatives, the one that is no null."""
    for alternative in node.get("anyOf", node.get("oneOf", ())):
        if alternative.get("type") != "null":
            return _resolved(alternative, definitions)
    reference = node.get("$ref")
    return node if reference is None else _resolved(definitions[reference.rpartition("/")[2]], definitions)


def _cell(value: Any, kind: str) -> Any:
    if value is None or value == "":
        return None
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return float(value) if kind == "number" else value
