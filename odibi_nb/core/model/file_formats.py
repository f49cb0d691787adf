"""File formats by file name."""

from __future__ import annotations

import re

from odibi_nb.core.text.redaction import redact_text
from odibi_nb.errors import DataError


def format_of(location: str) -> str:
    """Return the file format that the suffix of *location* means.

    Raises:
        DataError: if the suffix is unknown.
    """
    path = re.split("[?#]", location)[0] if "://" in location else location
    name = path.rstrip("/").rsplit("/", 1)[-1].lower()
    for packed in (".gz", ".bz2", ".zip", ".xz", ".zst"):
        name = name.removesuffix(packed)
    suffix = name.rpartition(".")[2] if "." in name else ""
    match suffix:
        case "csv" | "tsv" | "txt":
            return "csv"
        case "json" | "jsonl" | "ndjson":
            return "json"
        case "parquet" | "pq":
            return "parquet"
        case "xlsx" | "xls" | "xlsm":
            return "excel"
    message = f"{redact_text(location)}: the format is not clear from its name; give 'format'"
    raise DataError(message)
