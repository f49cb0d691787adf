"""Cost of provenance: the run log's record of the data that each attempt read and wrote."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, compared
from benchmarks.project import Project, RowsInMemory, row
from benchmarks.timing import in_pairs, seconds_of, side_by_side
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import WriteInfo
from odibi_nb.core.running.freshness_reader import RowCode
from odibi_nb.engines.delta import writes
from odibi_nb.engines.pandas.engine import PandasEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FILE_EVENTS = frozenset({"open", "os.scandir", "os.listdir"})


class _Unrecorded(PandasEngine):
    """The engine without the methods for versions."""

    @property
    def read_newest(self) -> Any:
        raise AttributeError

    @property
    def versions(self) -> Any:
        raise AttributeError


def recording(folder: Path, rows: int, pairs: int) -> Iterator[Figure]:
    """Rows that read a Delta table of ten rows and write another, with and without provenance in the log.

    Without: the engine reads tables without their versions, no written version and no number of rows before
    a write is looked up, and no row's code is hashed or stored. Both run the same functions on the same kind
    of lake, with a journal and no other log. The figure is processor time, in many pairs: wall time depends
    on the disk and on the other work of the machine by far more than the limit.
    The second figure counts the files that Python opens and the folders that it lists.
    """
    with_, without = (
        _project(folder / name, engine, rows)
        for name, engine in (("with", PandasEngine), ("without", _Unrecorded))
    )

    def ours() -> float:
        return with_.run(1)

    def bare() -> float:
        nothing = [(writes, "_tell", None), (writes, "_before", None), (RowCode, "noted", "")]
        kept = [getattr(owner, name) for owner, name, _ in nothing]
        for owner, name, result in nothing:
            setattr(owner, name, lambda *_, result=result: result)
        try:
            return without.run(1)
        finally:
            for (owner, name, _), function in zip(nothing, kept, strict=True):
                setattr(owner, name, function)

    recorded, plain = in_pairs(ours, bare, pairs)
    name = f"{rows:,} rows on Delta tables, provenance in the log"
    yield compared(
        f"{name}: processor",
        recorded,
        plain,
        peer="without",
        at_most=1.03,
        rows=(rows, rows),
    )
    operations = _FileOperations()
    counts = [operations.of(run) / rows for run in (ours, bare)]
    yield Figure(
        name=f"{name}: file operations",
        ours=f"{counts[0]:.1f} /row",
        baseline=f"{counts[1]:.1f} /row  without",
        ratio=f"+{counts[0] - counts[1]:.1f} /row",
    )


def versions(folder: Path, tables: int, turns: int) -> Iterator[Figure]:
    """The newest versions of all tables of a lake, as `status` asks for them, against opening each."""
    engine = PandasEngine(str(folder))
    info = WriteInfo(run_id="r", transformation_id="T", attempt=1)
    import pandas as pd

    frame = pd.DataFrame({"x": range(10)})
    names = [TableName(("silver", f"t{number}")) for number in range(tables)]
    for name in names:
        engine.write(frame, Output(table=str(name)), info)
    from deltalake import DeltaTable

    from odibi_nb.engines.delta import versions as delta_versions

    def ours() -> float:
        delta_versions._known.clear()  # noqa: SLF001  as in a new process
        return seconds_of(lambda: engine.versions(names))

    def opened() -> float:
        places = [f"{folder}/{name.path}" for name in names]
        return seconds_of(lambda: [DeltaTable(place).version() for place in places])

    mine, each = side_by_side([ours, opened], turns)
    what = f"versions of {tables:,} tables"
    yield compared(what, mine, each, peer="DeltaTable each", at_most=0.5, rows=(tables, tables))


def _project(folder: Path, engine: type[PandasEngine], rows: int) -> Project:
    lake = engine(str(folder / "lake"))
    import pandas as pd

    info = WriteInfo(run_id=uuid.uuid4().hex, transformation_id="T", attempt=1)
    lake.write(pd.DataFrame({"x": range(10)}), Output(table="raw.x"), info)
    registry = RowsInMemory(
        [
            row(i, "pass_on", inputs=["raw.x"], outputs=[{"table": f"silver.t{i}"}])
            for i in range(rows)
        ]
    )
    return Project(folder / "project", registry, tables=lake)  # type: ignore[arg-type]


class _FileOperations:
    """Counts the files that Python opens and the folders that it lists."""

    def __init__(self) -> None:
        self.number = 0
        self.counts = False
        sys.addaudithook(self._count)  # it stays for the whole process

    def _count(self, event: str, _arguments: tuple[Any, ...]) -> None:
        self.number += self.counts and event in _FILE_EVENTS

    def of(self, run: Callable[[], object]) -> int:
        """Return the number of operations of *run*."""
        self.number, self.counts = 0, True
        try:
            run()
        finally:
            self.counts = False
        return self.number
