"""Classify the errors with which delta-rs refuses a commit.

delta-rs raises CommitFailedError if another writer came first, and also if the table cannot take the
commit. Only the first case is worth a retry.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from odibi_nb.core.text.counts import counted
from odibi_nb.engines.optional_imports import require
from odibi_nb.storage.local_renames import why_not_moved

_CONFLICT = re.compile(
    r"Failed to commit transaction|concurrent|changed since|Max(?:imum)? commit attempts"
    r"|version \d+ already exists|Version already exists",
    re.IGNORECASE,
)
_FEATURES = re.compile(r"Unsupported (?:table|writer|reader) features required: \[(.*)\]")
_UNKNOWN = re.compile(r'Unknown\("(.*?)"\)')
_BROKEN = re.compile(r"(?:(?<!\d)(\d{1,18}) rows? )?failed validation check|Invariant violations:")
_APPEND_ONLY = "append-only"
_OTHER_PARTITIONS = "table partitioning does not match"
"""delta-rs before 1.6.6, even in an overwrite of the schema."""
_FEATURE_NAMES = {
    "DeletionVectors": "deletion vectors",
    "ColumnMapping": "column mapping",
    "ClusteredTable": "liquid clustering",
    "Clustering": "liquid clustering",
    "DomainMetadata": "domain metadata",
    "IdentityColumns": "identity columns",
    "RowTracking": "row tracking",
    "AllowColumnDefaults": "column defaults",
    "TypeWidening": "type widening",
    "TypeWideningPreview": "type widening",
    "InCommitTimestamp": "in-commit timestamps",
}


def is_conflict(error: BaseException) -> bool:
    """Return True if *error* means that another writer committed to the table first."""
    library = require("deltalake", "the pandas engine")
    if not isinstance(error, library.exceptions.DeltaError):
        return False
    text = str(error)
    if _FEATURES.search(text) or _APPEND_ONLY in text or _BROKEN.search(text):
        return False
    return bool(_CONFLICT.search(text))


class Writer(NamedTuple):
    """A library that commits, and the remedy to suggest if it cannot."""

    name: str
    instead: str


DELTA_RS = Writer("delta-rs", "give the row the engine 'spark' (constants.engine)")
SAIL_ITSELF = Writer("Sail", "choose another Spark for the environment ('spark' in the manifest)")


class Refusal(NamedTuple):
    """The reason why a table cannot take a commit, and a remedy."""

    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.why}; {self.remedy}"


def why_refused(error: BaseException, table: Any, writer: Writer = DELTA_RS) -> Refusal | None:
    """Return the reason why a table cannot take a commit; None if *error* has another cause.

    Args:
        error: the error that *writer* raised.
        table: delta-rs's table; None if it is new, or unknown.
        writer: the library that tried to commit.
    """
    text = str(error)
    if features := unsupported_features(error):
        why = f"the table uses {features}, which {writer.name} cannot write"
        return Refusal(why, writer.instead)
    if _APPEND_ONLY in text:
        why = "the table is append-only (delta.appendOnly), and this would remove rows"
        return Refusal(why, 'use "mode": "append", or set the table\'s property to false')
    if _OTHER_PARTITIONS in text:
        why = f"this {writer.name} cannot change the columns by which a table is partitioned"
        return Refusal(
            why, "keep them, write the table with Spark, or install deltalake 1.6.6 or newer"
        )
    if not_moved := why_not_moved(text):
        return Refusal(*not_moved)
    if rows := _BROKEN.search(text):
        count = counted(int(rows[1]), "row breaks", "rows break") if rows[1] else "some rows break"
        why = f"{count} the table's rules{_rules(table)}"
        return Refusal(why, "fix the rows, or drop the rule from the table")
    return None


def unsupported_features(error: BaseException) -> str:
    """Return the features for which *error* rejects a table, for a message; "" for another error."""
    found = _FEATURES.search(str(error))
    names = {feature_name(name) for name in found[1].split(",")} if found else set()
    return ", ".join(sorted(names))  # delta-rs's order varies


def feature_name(name: str) -> str:
    """Return the plain name of a table feature, with the log's spelling; unknown names stay as they are."""
    bare = _UNKNOWN.sub(r"\1", name.strip())
    # Some versions of delta-rs use the spelling of the log.
    known = _FEATURE_NAMES.get(bare[:1].upper() + bare[1:])
    return f"{known} ({bare})" if known else bare


def _rules(table: Any) -> str:
    """List the constraints, invariants and generated columns of a table for a message."""
    if table is None:
        return ""
    prefix = "delta.constraints."
    rules = [
        f"{name.removeprefix(prefix)}: {rule}"
        for name, rule in (table.metadata().configuration or {}).items()
        if name.startswith(prefix)
    ]
    for field in table.schema().fields:
        if not field.nullable:
            rules.append(f"{field.name} is not null")
        for key, what in _COLUMN_RULES.items():
            if key in field.metadata:
                rules.append(f"{field.name} {what} {_expression(field.metadata[key])}")
    return f" ({'; '.join(rules)})" if rules else ""


_COLUMN_RULES = {"delta.invariants": "must keep", "delta.generationExpression": "is generated as"}


def _expression(text: Any) -> str:
    found = re.search(r'"expression":\s*"((?:[^"\\]|\\.)*)"', str(text))
    return found[1] if found else str(text)
