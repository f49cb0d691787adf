"""What importing rows would change in a registry: worked out before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.decoding import as_json, decode_json
from odibi_nb.core.transformation import (
    ALIASES,
    JSON_COLUMNS,
    OPTIONAL_COLUMNS,
    SEED_COLUMNS,
    enabled_from,
    parse_row,
    row_columns,
)
from odibi_nb.errors import Problem, RegistryError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from odibi_nb.core.protocols import Row

KEY = ("project", "environment", "transformation_id")
"""What identifies a row; projects are compared without case."""

STAMPS = ("created_at", "updated_at")
"""Set by the import itself, never from the rows."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows to insert; (row as it is, columns to set) to update; how many need nothing."""

    inserts: list[Row] = field(default_factory=list)
    updates: list[tuple[Row, Row]] = field(default_factory=list)
    unchanged: int = 0


def row_key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Equal for rows that are the same transformation, also where a database pads text."""
    project, env, id_ = (str(row[name]).strip() for name in KEY)
    return project.lower(), env, id_


def canonical_names(row: Mapping[str, Any]) -> Row:
    """*row* with lower-case column names; the seed query's aliases stand for columns it lacks."""
    folded = {name.lower(): value for name, value in row.items()}
    return {
        ALIASES.get(name, name): value
        for name, value in folded.items()
        if ALIASES.get(name) not in folded
    }


def checked_rows(
    rows: Iterable[Mapping[str, Any]], columns: Collection[str], source: str
) -> list[Row]:
    """*rows* as they are stored in a table that has *columns* (lower-case names).

    JSON values become compact JSON text, `enabled` 1 or 0, blank text None.

    Raises:
        RegistryError: with everything that is wrong with any of them.
    """
    problems: list[Problem] = []
    stored: list[Row] = []
    seen: set[tuple[str, str, str]] = set()
    for number, raw in enumerate(rows, start=1):
        parsed, found = parse_row(raw, number)
        problems += found
        values = row_columns(raw)
        if parsed is not None:
            if row_key(values) in seen:
                problems.append(Problem(f"row {parsed.transformation_id!r}", "is there twice"))
            seen.add(row_key(values))
        names = (name for name in canonical_names(raw) if name not in STAMPS)
        row = {name: _stored(name, values.get(name)) for name in names}
        if row.get("enabled", 1) is None:
            del row["enabled"]
        stored.append(row)
    problems = [*_check_columns(stored, columns), *problems]
    if problems:
        raise RegistryError(source, problems)
    return [{name: value for name, value in row.items() if name in columns} for row in stored]


def compare(rows: Sequence[Row], existing: Iterable[Row]) -> Changes:
    """What makes *existing* agree with *rows*; columns that a row leaves out stay as they are."""
    by_key = {row_key(row): row for row in existing}
    changes = Changes()
    unchanged = 0
    for row in rows:
        old = by_key.get(row_key(row))
        if old is None:
            changes.inserts.append(
                {"enabled": 1, **{k: v for k, v in row.items() if v is not None}}
            )
            continue
        new = {
            name: value
            for name, value in row.items()
            if name not in KEY and not _same(name, old.get(name), value)
        }
        if new:
            changes.updates.append((old, new))
        else:
            unchanged += 1
    return Changes(changes.inserts, changes.updates, unchanged)


def _check_columns(rows: Iterable[Row], columns: Collection[str]) -> list[Problem]:
    given = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    return [
        Problem(
            "",
            f"the table has no column {name!r}; `odibi registry init --all-columns` adds it"
            if name in (*SEED_COLUMNS, *OPTIONAL_COLUMNS)
            else f"unknown column {name!r}{did_you_mean(name, columns)}",
        )
        for name in given
        if name not in columns
    ]


def _stored(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "enabled":
        return int(bool(enabled_from(value)))
    if name in JSON_COLUMNS:
        return value if isinstance(value, str) else as_json(value)
    return value


def _same(name: str, old: Any, new: Any) -> bool:
    if name == "enabled":
        return enabled_from(old) == enabled_from(new)
    if name in JSON_COLUMNS:
        return bool(_decoded(old) == _decoded(new))
    return ("" if old is None else str(old).strip()) == ("" if new is None else str(new))


def _decoded(value: Any) -> Any:
    try:
        return decode_json(value) if isinstance(value, (str, bytes)) else value
    except ValueError:
        return value
