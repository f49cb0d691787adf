"""Select rows of a past run, from their records in the run log."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from odibi_nb.core.planning.selection import Population, Selectable, Selected, select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.core.protocols import Row
    from odibi_nb.core.rollback.written import WrittenTable


def select_logged(
    manifest: ProjectManifest,
    records: Sequence[Row],
    written: Mapping[str, WrittenTable],
    include: Sequence[str],
) -> Selected:
    """Return the ids that *include* selects among the rows of a run, from its *records*.

    *include* are selections in the grammar of `odibi_nb.core.planning.selection`. *written* are the tables
    that the run wrote.
    """
    rows = {str(record["transformation_id"]): _selectable(record) for record in records}
    states = {str(record["transformation_id"]): str(record["status"]) for record in records}
    upstream: dict[str, set[str]] = defaultdict(set)
    for table in written.values():
        for reader in table.readers:
            for row in written[reader].writers:
                upstream[row] |= {*table.writers} - {row}
    population = Population(
        rows=rows,
        upstream={row: upstream[row] for row in rows},
        layers=manifest.layer_order,
        engines=("pandas", "spark"),
        labels=manifest.entity_labels,
        states=lambda _run: states,
    )
    return select(population, include)


def _selectable(record: Row) -> Selectable:
    return Selectable(
        layer=str(record.get("layer") or ""),
        module=str(record.get("module") or ""),
        function=str(record.get("function") or ""),
        engine=str(record.get("engine") or ""),
        tags=(),
        entities=(record.get("plant"), record.get("asset"), None),
    )
