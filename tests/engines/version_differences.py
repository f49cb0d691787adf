"""The difference of two lists of rows, by its definition."""

from __future__ import annotations

import math
from collections import Counter, defaultdict


def frozen(value):
    """A value that is equal to another one exactly if SQL groups them together."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    if isinstance(value, dict):
        return tuple((name, frozen(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(frozen, value))
    return value


def expected(before, after, columns, keys=()):
    """Return (added, removed, changed, column to number of changed rows) of two lists of dicts."""
    counts = [
        Counter(tuple(frozen(row.get(name)) for name in columns) for row in rows)
        for rows in (before, after)
    ]
    removed, added = counts[0] - counts[1], counts[1] - counts[0]
    pairs, by_key = [], defaultdict(lambda: ([], []))
    for side, rows in enumerate((removed, added)):
        for row in rows.elements():
            by_key[tuple(row[columns.index(name)] for name in keys)][side].append(row)
    for old, new in by_key.values() if keys else ():
        if len(old) == len(new) == 1:
            pairs.append((old[0], new[0]))
    changed = Counter(
        name for old, new in pairs for name, a, b in zip(columns, old, new, strict=True) if a != b
    )
    n = len(pairs)
    return added.total() - n, removed.total() - n, n, dict(changed)


def found(diff):
    """Return the same numbers of a `TableDiff`."""
    return diff.added, diff.removed, diff.changed, diff.rows.changed_columns
