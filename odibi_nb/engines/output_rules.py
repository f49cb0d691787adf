"""Checks of outputs that every engine shares, with the same messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.redaction import redact
from odibi_nb.engines.optional_imports import reason
from odibi_nb.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from odibi_nb.core.model.transformation import Output

_NOT_STORED = re.compile("[\x00\ud800-\udfff]")
"""NUL ends a name in Parquet files, and halves of surrogate pairs are not text."""
SAMPLES = 3
"""Number of wrong rows that a message shows."""


def check_output(columns: Sequence[str], output: Output) -> None:
    """Check that a frame of *columns* can be written as *output* demands, without the existing table.

    Raises:
        DataError: if the frame cannot be written so.
    """
    if output.schema_mode == "overwrite" and output.mode != "overwrite":
        raise DataError(
            f"{output.table}: schema_mode 'overwrite' replaces the table, so it needs "
            f"mode 'overwrite', found {output.mode!r}"
        )
    if output.mode == "merge" and not output.keys:
        raise DataError(
            f"{output.table}: mode 'merge' needs 'keys', the columns that identify a row"
        )
    for what in ("keys", "partition_by"):
        for column in getattr(output, what):
            if column not in columns:
                hint = did_you_mean(column, columns) or f": it has {', '.join(columns)}"
                raise DataError(
                    f"{output.table}: {what} names column {column!r}, which the frame does not "
                    f"have{hint:.200}"
                )


def check_names(
    names: Sequence[object], table: str, *, rename: str = "", besides: str = ""
) -> None:
    """Check that *names* can be the columns of a table.

    Args:
        names: the columns of a frame.
        table: the frame's name in messages.
        rename: advice on how to rename columns, for the message.
        besides: note on other things that count as a column, for the message.

    Raises:
        DataError: if the frame has no columns, or a name is empty, not text, or a duplicate; upper
            and lower case count as equal.
    """
    if not names:
        raise DataError(f"{table}: the frame has no columns, and a table needs at least one")
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{table}: column names must be non-empty text, found {name!r}{rename}")
        unsafe = _NOT_STORED.search(name)
        if unsafe:
            raise DataError(
                f"{table}: the column name {name!r} contains {unsafe[0]!r}, which files cannot store"
                f"{rename}"
            )
        if name.casefold() in seen:
            raise DataError(
                f"{table}: two columns are called {seen[name.casefold()]!r} and {name!r}, which are "
                f"the same name in a table{besides}: rename or drop one"
            )
        seen[name.casefold()] = name


def columns_apart(
    ours: Sequence[str], theirs: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Return the columns of the frame only, of the table only, and the columns with another spelling.

    Args:
        ours: the frame's columns.
        theirs: the table's columns.
    """
    spelling = {name.casefold(): name for name in theirs}
    found = {name: spelling.get(name.casefold()) for name in ours}
    in_both = {*found.values()}
    return (
        [name for name, known in found.items() if known is None],
        [name for name in theirs if name not in in_both],
        [respelled(name, known) for name, known in found.items() if known not in {None, name}],
    )


def keys_come_twice(output: Output, how_many: str, samples: Iterable[Sequence[Any]]) -> DataError:
    """Build the error for a merge in which several rows of the frame have the same keys.

    Args:
        output: the output that was to be written.
        how_many: the number of these keys, with a verb.
        samples: for some of them, the values of the key columns and then the number of rows.
    """
    shown = (
        ", ".join(
            f"{key}={redact(value, key)!r}" for key, value in zip(output.keys, row, strict=False)
        )
        + f" ({counted(row[-1], 'row')})"
        for row in samples
    )
    return DataError(
        f"{output.table}: {how_many} ({', '.join(output.keys)}) more than once in the frame, "
        f"so it is not clear which row to keep: {'; '.join(shown)}"
    )


def kept_changing(output: Output, conflict: BaseException | None) -> DataError:
    """Build the error for a write that gave up after many conflicts, of which *conflict* was the last."""
    return DataError(
        f"{output.table}: other writers kept changing the table; nothing was written: "
        f"{reason(conflict) if conflict else ''}"
    )


def columns_differ(
    output: Output,
    added: Sequence[tuple[str, str]],
    missing: Sequence[tuple[str, str]],
    changed: Sequence[str],
) -> DataError:
    """Build the error for a frame whose columns differ from the table's.

    Args:
        output: the output that was to be written.
        added: (name, type) of the columns that only the frame has.
        missing: (name, type) of the columns that only the table has.
        changed: a description of each column whose type or spelling differs.
    """
    parts = [
        *_listed("added", added),
        *_listed("missing", missing),
        *([f"changed {', '.join(changed)}"] if changed else []),
    ]
    return DataError(
        f"{output.table}: the frame's columns are not the table's: {'; '.join(parts)}. "
        + _advice(output, changed)
    )


def retyped(name: str, in_table: str, in_frame: str) -> str:
    """Describe, for `columns_differ`, a column that has another type in the table."""
    return f"{name!r} ({in_table} in the table, {in_frame} in the frame)"


def respelled(name: str, in_table: str) -> str:
    """Describe, for `columns_differ`, a column that the table spells differently."""
    return f"{name!r} (the table spells it {in_table!r})"


def partitioned_otherwise(output: Output, now: Sequence[str]) -> DataError:
    """Build the error for a write that would partition an existing table differently."""
    return DataError(
        f"{output.table}: it is partitioned by {list(now) or 'nothing'}, not by "
        f'{list(output.partition_by)}; only "mode": "overwrite" with "schema_mode": "overwrite" '
        "changes that"
    )


def _listed(what: str, columns: Sequence[tuple[str, str]]) -> list[str]:
    shown = ", ".join(f"{name!r} ({kind})" for name, kind in columns)
    return [f"{what} {shown}"] if columns else []


def _advice(output: Output, changed: Sequence[str]) -> str:
    if changed:
        keep = 'Convert the changed columns, in the function or by the "schema" of a row that loads files'
    else:
        keep = 'In the outputs, "schema_mode": "merge" adds columns and leaves missing ones null'
    mode = "" if output.mode == "overwrite" else '"mode": "overwrite" and '
    return f'{keep}; {mode}"schema_mode": "overwrite" replaces the table, columns and all'
