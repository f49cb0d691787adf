"""Compare the data of tables: two versions, the tables that a run wrote, or two environments."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn, cast

from odibi_nb.core.model.tables import TableName, table_key
from odibi_nb.core.model.transformation import parse_row
from odibi_nb.core.model.version_pair import VersionPair, pair_of_commits, pair_of_outputs
from odibi_nb.core.protocols import DiffingEngine, TableAt, VersionedEngine
from odibi_nb.core.rollback.written import written_tables
from odibi_nb.core.runlog.history import (
    LAST,
    RUNS_SEARCHED,
    newest_usual,
    past_attempts,
    past_runs,
)
from odibi_nb.core.text.redaction import error_message
from odibi_nb.errors import ConfigurationError, DataError, OdibiError, did_you_mean
from odibi_nb.views.inspect.diff import Diff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from odibi_nb.core.model.provenance import TableCommit
    from odibi_nb.core.model.table_diff import TableDiff
    from odibi_nb.core.protocols import Row, TableEngine
    from odibi_nb.core.running.orchestrator import Orchestrator

MOST_COMMITS = 200
"""Most commits that are read to name the authors of changes; each is a file."""
_MOST_WORDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """A request for a comparison.

    Attributes:
        words: ``TABLE``, ``TABLE@3 TABLE@5``, or ``last`` or a run's id and tables; with two
            environments, tables.
        keys: columns that identify a row; if empty, the keys of the rows' outputs.
        select: only tables that the selected rows write.
        exclude: leave out the tables that these rows write.
    """

    words: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def compare(project: Orchestrator, what: What, other: Orchestrator | None = None) -> Diff:
    """Compare data as *what* requests. Writes nothing.

    Args:
        project: the project in its environment.
        what: the requested comparison.
        other: the project in a second environment, whose tables are the later side.

    Raises:
        ConfigurationError: if a word is not a table, version or run, or a selection is wrong.
        DataError: if the only table cannot be compared.
    """
    if other is not None:
        return _environments(project, other, what)
    words = what.words or (LAST,)
    runs = past_runs(project.sinks(), RUNS_SEARCHED, project.project, project.env)
    known = {run["run_id"]: run for run in runs}
    if words[0] == LAST or words[0] in known:
        if not runs:
            where = f"{project.project} · env {project.env}"
            raise ConfigurationError(where, ["no run in its log: name a table, such as silver.x"])
        run = newest_usual(runs) if words[0] == LAST else known[words[0]]
        return _run(project, replace(what, words=words[1:]), run)
    if what.select or what.exclude:
        raise ConfigurationError("--select", ["chooses tables of a run or of two environments"])
    return _versions(project, replace(what, words=words), [*known])


# -- two versions of a table -------------------------------------------------------------------


def _versions(project: Orchestrator, what: What, runs: Sequence[str]) -> Diff:
    marked = [_marked(word) for word in what.words]
    tables = {table.key for table, _ in marked}
    if len(tables) > 1 or len(marked) > _MOST_WORDS:
        words = " ".join(what.words)
        raise ConfigurationError(words, ["expected TABLE, or two versions: TABLE@3 TABLE@5"])
    table = marked[0][0]
    engine = _versioned(project)
    newest = engine.versions([table]).get(table.key)
    if newest is None:
        _raise_for_missing(project, table, runs)
    for version in [v for _, v in marked if v is not None and v > newest.version]:
        raise DataError(f"{table} has no version {version}: its newest is {newest.version}")
    notes: tuple[str, ...] = ()
    if len(marked) == _MOST_WORDS:
        before, after = (newest.version if v is None else v for _, v in marked)
        pair = VersionPair(before=before, after=after)
    else:
        changed = marked[0][1]
        if changed is None:
            changed = newest.data_version
        if changed is None:
            commits = engine.commits(table)
            changed = next((c.version for c in commits if c.changes_data), newest.version)
        pair = VersionPair(before=changed - 1 if changed else None, after=changed)
        notes = _commit_notes(_commits(engine, table, newest.version, changed), changed)
    diff = _one(project, table, pair, what.keys or _keys(project).get(table.key, ()))
    title = f"diff of {table} · {project.project} · env {project.env}"
    return _view(project, title, {diff.table: diff}, notes=notes)


def _marked(word: str) -> tuple[TableName, int | None]:
    """Split ``TABLE@VERSION``.

    Raises:
        ConfigurationError: if *word* is not a table's name.
    """
    name, at, version = word.rpartition("@")
    numbered = bool(at) and re.fullmatch(r"\d{1,18}", version, re.ASCII) is not None
    try:
        return TableName.parse(name if numbered else word), int(version) if numbered else None
    except DataError as exc:
        raise ConfigurationError(word, [f"is neither a run nor a table: {exc}"]) from exc


def _raise_for_missing(project: Orchestrator, table: TableName, runs: Sequence[str]) -> NoReturn:
    hint = did_you_mean(str(table), [LAST, *runs])
    if len(table.parts) == 1 and (hint or table.parts[0][:1].isdigit()):
        where = f"{project.project} · env {project.env}"
        raise ConfigurationError(where, [f"no run and no table {str(table)!r}{hint}"])
    _versioned(project).read_version(table, 0)  # raises the engine's own error
    raise DataError(f"{table}: the engine does not know its versions")


def _commits(
    engine: VersionedEngine, table: TableName, newest: int, down_to: int
) -> list[TableCommit]:
    """Return the commits down to a version, or none if they are too many to read for a note."""
    return engine.commits(table, down_to=down_to) if newest - down_to < MOST_COMMITS else []


def _commit_notes(commits: Sequence[TableCommit], version: int) -> tuple[str, ...]:
    """Return a line about the commit, if its author is known."""
    return tuple(f"v{version}: {_commit_text(c)}" for c in commits if c.version == version)


def _commit_text(commit: TableCommit) -> str:
    by = f" by {commit.transformation_id} in run {commit.run_id}" if commit.run_id else ""
    at = f" on {commit.at:%Y-%m-%d %H:%M:%S} UTC" if commit.at else ""
    return f"{commit.operation or 'commit'}{by}{at}"


# -- the tables that a run wrote ---------------------------------------------------------------


def _run(project: Orchestrator, what: What, run: Row) -> Diff:
    run_id = run["run_id"]
    records = past_attempts(project.sinks(), [run_id])
    engine = _versioned(project)
    outputs = _outputs(project)
    written = written_tables(
        records,
        state_dir=project.state_dir,
        declared=lambda: outputs.by_row,
        rollbacks=[run_id] if run.get("rollback_of") else (),
    )
    found: dict[str, VersionPair] = {}
    for key, table in written.items():
        pair = pair_of_outputs(table.logged) or pair_of_commits(engine.commits(table.name), run_id)
        if pair is not None:
            found[key] = pair
    title = f"diff of run {run_id} ({run['status']}) · {project.project} · env {project.env}"
    chosen = _chosen(project, what, outputs)
    if chosen is not None:
        missing = [key for key in map(table_key, what.words) if key not in found]
        if missing:
            wrote = ", ".join(sorted(found)) or "nothing"
            raise ConfigurationError(
                f"run {run_id}", [f"did not write {missing[0]}; it wrote {wrote}"]
            )
        found = {key: pair for key, pair in found.items() if key in chosen}

    def diff(key: str) -> TableDiff:
        table = TableName.parse(key)
        pair = found[key]
        down_to = 0 if pair.before is None else pair.before + 1
        newest = engine.versions([table]).get(key)
        commits = _commits(engine, table, newest.version if newest else 0, down_to)
        if any(c.version == pair.after and c.run_id != run_id for c in commits):
            raise DataError(
                f"{table}: the run did not write version {pair.after}: the table was created again"
            )
        diff = _one(project, table, pair, what.keys or outputs.keys.get(key, ()))
        return replace(diff, notes=(*diff.notes, *_foreign(commits, pair, run_id)))

    return _each(project, title, sorted(found), diff)


def _foreign(commits: Sequence[TableCommit], pair: VersionPair, run_id: str) -> list[str]:
    """Return a line for each other author who changed the table between the two versions."""
    others = [
        c
        for c in commits
        if c.run_id != run_id
        and c.changes_data
        and c.version <= pair.after
        and c.version > (-1 if pair.before is None else pair.before)
    ]
    return [f"v{c.version} is not from this run: {_commit_text(c)}" for c in reversed(others)]


# -- two environments --------------------------------------------------------------------------


def _environments(project: Orchestrator, other: Orchestrator, what: What) -> Diff:
    outputs = [_outputs(side) for side in (project, other)]
    chosen = _chosen(project, what, outputs[0])
    if chosen is None:
        chosen = {*outputs[0].keys, *outputs[1].keys}
    if not chosen:
        where = f"env {project.env!r} and {other.env!r} of {project.project!r}"
        raise ConfigurationError(where, ["no row writes a table: name the tables to compare"])
    tables = [TableName.parse(key) for key in sorted(chosen)]
    sides = [_versioned(side).versions(tables) for side in (project, other)]
    absent = [str(table) for table in tables if not any(table.key in side for side in sides)]

    def diff(key: str) -> TableDiff:
        table = TableName.parse(key)
        at = [
            TableAt(engine=side.tables(side.engine), table=table, version=found[key].version)
            if key in found
            else None
            for side, found in zip((project, other), sides, strict=True)
        ]
        keys = what.keys or outputs[0].keys.get(key) or outputs[1].keys.get(key, ())
        return _diffing(other).diff(at[0], at[1], keys)

    notes = [f"{name} exists in neither environment" for name in absent]
    title = f"diff of {project.project} · env {project.env} → {other.env}"
    present = [table.key for table in tables if str(table) not in absent]
    return _each(project, title, present, diff, tuple(notes))


# -- shared parts ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Outputs of the registry's rows: table to its key columns, and row to its tables."""

    keys: dict[str, tuple[str, ...]]
    by_row: dict[str, list[str]]


def _outputs(project: Orchestrator) -> _Outputs:
    """Return the outputs of all rows that can be parsed, enabled or not."""
    keys: dict[str, tuple[str, ...]] = {}
    by_row: dict[str, list[str]] = {}
    source = project.adapters.registry(project.place())
    for number, raw in enumerate(source.fetch(project.project, project.env), 1):
        row, _ = parse_row(raw, number)
        if row is None:
            continue
        for output in row.targets:
            key = table_key(output.table)
            keys[key] = keys.get(key) or tuple(output.keys)
            by_row.setdefault(row.transformation_id, []).append(key)
    return _Outputs(keys, by_row)


def _keys(project: Orchestrator) -> Mapping[str, tuple[str, ...]]:
    """Return the key columns by table; without a readable registry, no table has any."""
    try:
        return _outputs(project).keys
    except OdibiError:
        return {}


def _chosen(project: Orchestrator, what: What, outputs: _Outputs) -> set[str] | None:
    """Return the keys of the requested tables; None if the request is for all tables."""
    if not (what.words or what.select or what.exclude):
        return None
    named = {_marked(word)[0].key for word in what.words}
    if not (what.select or what.exclude):
        return named
    plan = project.plan(select=[*what.select], exclude=[*what.exclude])
    if not plan.rows:
        plan.raise_for_problems()
    selected = {key for name in plan.rows for key in outputs.by_row.get(name, ())}
    return named & selected if named else selected


def _one(
    project: Orchestrator, table: TableName, pair: VersionPair, keys: Sequence[str]
) -> TableDiff:
    engine = project.tables(project.engine)
    before, after = (
        None if version is None else TableAt(engine=engine, table=table, version=version)
        for version in (pair.before, pair.after)
    )
    return _diffing(project).diff(before, after, keys)


def _each(
    project: Orchestrator,
    title: str,
    keys: Sequence[str],
    diff: Callable[[str], TableDiff],
    notes: tuple[str, ...] = (),
) -> Diff:
    """Compare each table. A table that cannot be compared does not prevent the others."""
    tables: dict[str, TableDiff] = {}
    failures: dict[str, str] = {}
    for key in keys:
        try:
            tables[key] = diff(key)
        except OdibiError as exc:
            failures[key] = error_message(exc)
    return _view(project, title, tables, failures, notes)


def _view(
    project: Orchestrator,
    title: str,
    tables: Mapping[str, TableDiff],
    failures: Mapping[str, str] | None = None,
    notes: tuple[str, ...] = (),
) -> Diff:
    return Diff(
        title=title,
        tables=tables,
        failures=failures or {},
        notes=notes,
        frame_with=project.adapters.frame,
    )


def _versioned(project: Orchestrator) -> VersionedEngine:
    return cast("VersionedEngine", _with_method(project, "versions"))


def _diffing(project: Orchestrator) -> DiffingEngine:
    return cast("DiffingEngine", _with_method(project, "diff"))


def _with_method(project: Orchestrator, name: str) -> TableEngine:
    """Return the project's engine.

    Raises:
        DataError: if it is an engine whose tables have no versions.
    """
    engine = project.tables(project.engine)
    if not callable(getattr(engine, name, None)):
        raise DataError(f"engine {project.engine!r} cannot compare versions of tables")
    return engine
