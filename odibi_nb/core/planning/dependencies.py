"""Find the dependencies between rows, from their tables and from ``constants.depends_on``."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from odibi_nb.core.model.tables import table_key
from odibi_nb.core.text.redaction import shown
from odibi_nb.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from odibi_nb.core.model.transformation import Transformation


@dataclass(kw_only=True)
class Dependencies:
    """The result of `find_dependencies`.

    Attributes:
        upstream: the ids that each id needs, in the order of the rows.
        reads: the keys of the tables that each id reads.
        overwriters: the ids that overwrite each table, by the key of the table.
        wrong: the problems of each id's outputs and ``depends_on``.
        unclear: why the tables that an id's query reads are only guessed.
    """

    upstream: dict[str, set[str]] = field(default_factory=dict)
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    overwriters: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    wrong: dict[str, list[Problem]] = field(default_factory=lambda: defaultdict(list))
    unclear: dict[str, str] = field(default_factory=dict)

    def problems(self, ids: Collection[str]) -> list[Problem]:
        """Return the problems of a run of the rows *ids*."""
        found = [p for name, problems in self.wrong.items() if name in ids for p in problems]
        for key, names in self.overwriters.items():
            if len(names) > 1 and len(running := sorted(n for n in names if n in ids)) > 1:
                message = f"is overwritten by more than one row: {', '.join(running)}"
                found.append(Problem(f"table {key}", message))
        return found


def find_dependencies(
    rows: Mapping[str, Transformation],
    layers: Sequence[str],
    not_run: Collection[str],
    hint: Callable[[str], str],
    engine: str,
) -> Dependencies:
    """Return the dependencies between *rows*. A row needs no row of a later layer.

    Args:
        rows: the rows by id; each row's layer is one of *layers*.
        layers: the layers in the order in which they run.
        not_run: known ids that do not run; ``depends_on`` may name them.
        hint: returns a suggestion for an unknown id, for the message of the problem.
        engine: the engine of rows that name no engine.
    """
    found = Dependencies()
    producers = _producers(rows, found)
    position = {layer: i for i, layer in enumerate(layers)}
    declared = _Declared(rows, position, not_run, hint, found)
    for name, row in rows.items():
        mine = position[row.layer]
        why: list[str] = []
        keys = row.input_keys(producers, engine, why)
        if why:
            found.unclear[name] = why[0]
        found.reads[name] = tuple(sorted(keys))
        _check_letters(row, keys, producers, found)
        upstream = {
            other
            for key in keys
            if key in producers
            for other in producers[key]
            if other != name and position[rows[other].layer] <= mine
        }
        if row.constants.get("depends_on") is not None:
            upstream |= declared.upstream(row)
        found.upstream[name] = upstream
    return found


def _producers(rows: Mapping[str, Transformation], found: Dependencies) -> dict[str, list[str]]:
    """Return the ids that write each table, by the key of the table.

    If a row names a table in more than one of its outputs, add a problem to *found*.
    """
    producers: dict[str, list[str]] = defaultdict(list)
    for name, row in rows.items():
        for output in row.targets:
            key = table_key(output.table)
            if name in producers[key]:
                # A function's own form of outputs can have two files of one table.
                if not row.output_problems:
                    message = "is named by more than one of its outputs"
                    found.wrong[name].append(Problem(f"row {name!r}, table {key}", message))
                continue
            _check_letters(row, (key,), producers, found)
            producers[key].append(name)
            if output.mode == "overwrite":
                found.overwriters[key].append(name)
    return producers


def _check_letters(
    row: Transformation,
    keys: Iterable[str],
    producers: Mapping[str, list[str]],
    found: Dependencies,
) -> None:
    """Add a problem for each of *keys* that another row's table only looks like.

    An accented letter is one character, or a letter with a character for its accent. They look the same, but
    they are two tables, so a row would read what another table holds.
    """
    for key in keys:
        if key.isascii() or producers.get(key):
            continue
        for form in ("NFC", "NFD"):
            alike = unicodedata.normalize(form, key)
            if alike != key and producers.get(alike):
                message = (
                    f"only looks like the table that row {producers[alike][0]!r} writes: the accented letters are "
                    "composed in one name and decomposed in the other; copy the name from one row into the other"
                )
                found.wrong[row.transformation_id].append(
                    Problem(f"row {row.transformation_id!r}, table {key}", message)
                )


@dataclass
class _Declared:
    """Reader of ``constants.depends_on``. It adds the problems of the value to *found*."""

    rows: Mapping[str, Transformation]
    position: Mapping[str, int]
    not_run: Collection[str]
    hint: Callable[[str], str]
    found: Dependencies

    def upstream(self, row: Transformation) -> set[str]:
        """Return the usable ids that *row* names in ``depends_on``."""
        raw = row.constants["depends_on"]
        names = [raw] if isinstance(raw, str) else raw
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._wrong(row, f"expected a list of transformation ids, found {shown(raw)}")
            return set()
        return {name for name in names if self._is_usable(row, name)}

    def _is_usable(self, row: Transformation, name: str) -> bool:
        other = self.rows.get(name)
        if other is None:
            if name not in self.not_run:
                self._wrong(row, f"unknown transformation {name!r}{self.hint(name)}")
            return False
        if self.position[other.layer] > self.position[row.layer]:
            message = f"{name!r} is in layer {other.layer}, which runs after {row.layer}"
            self._wrong(row, message)
            return False
        return True

    def _wrong(self, row: Transformation, message: str) -> None:
        name = row.transformation_id
        where = f"row {name!r}, constants.depends_on"
        self.found.wrong[name].append(Problem(where, message))
