"""Which transformation needs which: by the tables they read and write, and by ``constants.depends_on``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from odibi_nb.core.model.tables import table_key
from odibi_nb.core.text.redaction import shown
from odibi_nb.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from odibi_nb.core.model.transformation import Transformation


@dataclass(kw_only=True)
class Dependencies:
    """What `find_dependencies` found.

    Attributes:
        upstream: id to the ids it needs, in the rows' order.
        reads: id to the keys of the tables it reads.
        overwriters: key of a table to the ids that overwrite it.
        wrong: id to what is wrong with its outputs and ``depends_on``.
        unclear: id to why the tables that its query reads are only guessed.
    """

    upstream: dict[str, set[str]] = field(default_factory=dict)
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    overwriters: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    wrong: dict[str, list[Problem]] = field(default_factory=lambda: defaultdict(list))
    unclear: dict[str, str] = field(default_factory=dict)

    def problems(self, ids: Collection[str]) -> list[Problem]:
        """What is wrong when the rows of *ids* run."""
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
    engine: str = "pandas",
) -> Dependencies:
    """The edges of *rows*, whose layers are among *layers*, in order.

    A row needs nothing of a later layer. ``depends_on`` may name ids that are *not_run*; *hint*
    says which id was probably meant by one that is unknown. *engine* is that of rows that name none.
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
    """Key of a table to the ids that write it; problems where they would undo each other's work."""
    producers: dict[str, list[str]] = defaultdict(list)
    for name, row in rows.items():
        for output in row.targets:
            key = table_key(output.table)
            if name in producers[key] and row.output_problems:
                continue  # a form of the function's own, such as two files of one table
            if name in producers[key]:
                message = "is named by more than one of its outputs"
                found.wrong[name].append(Problem(f"row {name!r}, table {key}", message))
                continue
            producers[key].append(name)
            if output.mode == "overwrite":
                found.overwriters[key].append(name)
    return producers


@dataclass
class _Declared:
    """Reads ``constants.depends_on``; what is wrong with it goes to *found*."""

    rows: Mapping[str, Transformation]
    position: Mapping[str, int]
    not_run: Collection[str]
    hint: Callable[[str], str]
    found: Dependencies

    def upstream(self, row: Transformation) -> set[str]:
        """The ids that *row* says it needs."""
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
