"""``doctor``: the settings, their sources, and checks of the environment. Writes nothing."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.commands.opening import (
    DEFAULT_ENV,
    environment_setting,
    open_manifest,
    opened,
)
from odibi_nb.core.model.options import RunOptions
from odibi_nb.core.model.tables import redact_url
from odibi_nb.core.process.compute import find_compute
from odibi_nb.core.process.packages import all_packages, version_of
from odibi_nb.core.running.orchestrator import DEFAULT_ENGINE
from odibi_nb.core.text.counts import counted
from odibi_nb.errors import ConfigurationError, OdibiError
from odibi_nb.settings import NAMES, load_settings, unknown_variables
from odibi_nb.views.json_documents import CheckEntry, DoctorDocument
from odibi_nb.views.records import Records
from odibi_nb.wiring import (
    catalog_of,
    lake_root,
    make_frame,
    make_registry,
    registry_needs_start,
    rights_to_write,
    spark_session,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.commands.migration import MigrationReport

COLUMNS = ("check", "state", "source", "value")
LIBRARIES = (
    "odibi-nb",
    "msgspec",
    "tenacity",
    "pandas",
    "deltalake",
    "duckdb",
    "sqlalchemy",
    "ipython",
    "ipykernel",
    "ipywidgets",
    "anywidget",
    "plotly",
    "pyspark",
)
DEFAULTS: dict[str, Any] = {
    "project": "(the only one found from here)",
    "env": f"(the manifest's default_env, else {DEFAULT_ENV})",
    "engine": f"(the environment's, else {DEFAULT_ENGINE})",
    "max_workers": "(the number of CPUs, on Spark at least 4)",
    "log_level": "WARNING",
    "on_error": RunOptions().on_error,
    "schedule": RunOptions().schedule,
    "ui": "auto",
    "state_dir": "(.odibi beside the manifest; on Databricks on the driver's disk)",
    "project_dirs": (),
    "save_logs": False,
    "query_memory_mb": "(a quarter of the machine's memory)",
    "query_threads": "(one per CPU)",
}
"""Default values of settings, as the report shows them."""
_LAB_WIDGETS = {"7": "1", "8": "3"}
"""Major versions: ipywidgets to the matching jupyterlab_widgets."""
OK, BAD, NOTE = "✔ ok", "✖ problem", "· info"
EXIT_CODE = "exit_code"
"""A key of every row in addition to its columns."""
Row = dict[str, Any]


class Diagnosis(Records):
    """The report of `doctor`."""

    @property
    def exit_code(self) -> int:
        """Exit code: 0 without problems, 2 if a problem is in the user's input, otherwise 1."""
        return max((row[EXIT_CODE] for row in self.rows), default=0)


def doctor(
    arguments: argparse.Namespace, face: Face
) -> Diagnosis | DoctorDocument | MigrationReport:
    """Check everything that a run needs, without running or writing anything."""
    if arguments.migration:
        from odibi_nb.commands.migration import migration

        return migration(arguments)
    rows = [_compute(), *_settings(), *_libraries(), *_bad_pairs(), *_collisions()]
    rows += _guarded("ui", lambda: [_ui(face)])
    rows += _guarded("project", lambda: _project(arguments))
    rows.sort(key=lambda row: row["state"] != BAD)
    found = Diagnosis(_verdict(rows), COLUMNS, rows, make_frame)
    return _document(found) if arguments.json else found


def _verdict(rows: list[Row]) -> str:
    """Return the report's first line: the number of problems and the names of their checks."""
    names = [row["check"] for row in rows if row["state"] == BAD]
    if not names:
        return "odibi doctor: ✔ no problem found"
    return f"odibi doctor: ✖ {counted(len(names), 'problem')}: {', '.join(names)}"


def _document(found: Diagnosis) -> DoctorDocument:
    words = {OK: "ok", BAD: "problem", NOTE: "info"}
    return DoctorDocument(
        ok=found.exit_code == 0,
        checks=tuple(
            CheckEntry(
                check=row["check"],
                state=words[row["state"]],
                source=row["source"],
                value=str(row["value"]),
            )
            for row in found
        ),
        code=found.exit_code,
    )


def _row(check: str, state: str, value: Any, source: str = "", exit_code: int | None = None) -> Row:
    """Return one line of the report. *exit_code* defaults to 1 for a problem and to 0 otherwise."""
    row = dict(zip(COLUMNS, (check, state, source, value), strict=True))
    row[EXIT_CODE] = int(state == BAD) if exit_code is None else exit_code
    return row


def _guarded(check: str, look: Callable[[], Iterable[Row]]) -> list[Row]:
    try:
        return [*look()]
    except OdibiError as exc:
        return [
            _row(check, BAD, str(exc), exit_code=2 if isinstance(exc, ConfigurationError) else 1)
        ]


def _compute() -> Row:
    """Report the compute of this process, and who runs it."""
    compute = find_compute()
    value = f"{compute}, as {compute.user}" if compute.user else str(compute)
    return _row("compute", NOTE, value)


def _settings() -> Iterator[Row]:
    settings = load_settings()
    for name in NAMES:
        value, source = settings.resolve(name, default=DEFAULTS[name])
        yield _row(f"setting {name}", NOTE, "(none)" if value in (None, ()) else value, source)
    for text in unknown_variables(os.environ):
        yield _row("environment variable", NOTE, f"{text} is not a setting", "environment")


def _libraries() -> Iterator[Row]:
    yield _row("python", OK, platform.python_version())
    for name in LIBRARIES:
        version = version_of(name)
        yield _row(name, OK, version) if version else _row(name, NOTE, "not installed")
    home = os.environ.get("JAVA_HOME")  # if it is set, Spark uses no other Java
    java = shutil.which("java", path=str(Path(home) / "bin") if home else None)
    yield _row("java", NOTE, java or "not found (only the JVM Spark engine needs it)")


def _bad_pairs() -> Iterator[Row]:
    """Report pairs of installed libraries that do not work together."""
    kernel, widgets, front = map(_version, ("ipykernel", "ipywidgets", "jupyterlab_widgets"))
    if kernel[:2] == ["7", "0"]:
        text = "ipykernel 7.0 cannot update widgets while a cell runs: install ipykernel 7.1 or 6"
        yield _row("ipykernel and widgets", BAD, text)
    expected = _LAB_WIDGETS.get(widgets[0], front[0])
    if front[0] and front[0] != expected:
        text = (
            f"ipywidgets {widgets[0]} needs jupyterlab_widgets {expected}, found {front[0]}: "
            "the browser would not show its widgets"
        )
        yield _row("ipywidgets and JupyterLab", BAD, text)


def _collisions() -> Iterator[Row]:
    """Report other packages that also install the command ``odibi`` or the module ``odibi_nb``."""
    instead = "call odibi-nb, or python -m odibi_nb"
    others = [name for name in _owners_of_command("odibi") if not _is_ours(name)]
    if others:
        text = f"{', '.join(others)} also installs a command odibi: {instead}"
        yield _row("command odibi", NOTE, text)
    found = shutil.which("odibi")
    if found is None:
        yield _row("command odibi", NOTE, f"not on PATH: {instead}")
    elif not _starts_us(Path(found)):
        yield _row("command odibi", NOTE, f"{found} starts another package: {instead}")
    elif not others:
        yield _row("command odibi", OK, found)
    foreign = [name for name in _owners_of_module("odibi_nb") if not _is_ours(name)]
    if foreign:
        text = f"{', '.join(foreign)} also installs a module odibi_nb: uninstall one of them"
        yield _row("module odibi_nb", BAD, text)


def _owners_of_command(command: str) -> list[str]:
    """Return the installed packages that provide *command*."""
    return sorted(
        {
            package.name
            for package in all_packages()
            if package.entry_points.select(group="console_scripts", name=command)
        }
    )


def _owners_of_module(module: str) -> list[str]:
    """Return the installed packages that have put a file into the folder *module*.

    The standard library's own search looks at each file of all packages, which takes seconds.
    """
    return sorted(
        package.name
        for package in all_packages()
        if f"\n{module}/" in f"\n{package.read_text('RECORD') or ''}"
        and Path(str(package.locate_file(module))).is_dir()
    )


def _is_ours(package: str) -> bool:
    return package.lower().replace("_", "-") == "odibi-nb"


def _starts_us(script: Path) -> bool:
    """Return True if *script*, which may be a launcher of Windows, contains the name odibi_nb."""
    try:
        return b"odibi_nb" in script.read_bytes()
    except OSError:
        return False


def _version(library: str) -> list[str]:
    """Return the parts of a library's version; one empty part if it is not installed."""
    return (version_of(library) or "").split(".")


def _ui(face: Face) -> Row:
    asked, source = load_settings().resolve("ui", default="auto")
    chosen, why = face.ui(asked)
    return _row("ui", OK, f"{chosen} ({why})", source)


def _project(arguments: argparse.Namespace) -> Iterator[Row]:
    manifest = open_manifest(arguments)
    yield _row("manifest", OK, str(manifest.path))
    with opened(arguments) as orchestrator:
        env = environment_setting(arguments, manifest)
        yield _row("environment", OK, *env)
        yield _row("engine", OK, *orchestrator.engine_setting(arguments.engine))
        yield from _guarded("registry", lambda: [_registry(orchestrator)])
        spark = orchestrator.engine == "spark"
        yield from _guarded("spark" if spark else "engine", lambda: _engine(orchestrator))
        yield from _guarded("lake", lambda: _lake(orchestrator))
        yield _folder("state", str(orchestrator.state_dir))


def _registry(orchestrator: GenericProjectOrchestrator) -> Row:
    source = make_registry(orchestrator.place())
    if registry_needs_start(orchestrator.place()):
        return _row("registry", NOTE, "not checked: that would start a session", source.name)
    rows = list(source.fetch(orchestrator.project, orchestrator.env))
    if not rows:
        return _row(
            "registry", BAD, f"no rows for env {orchestrator.env!r}", source.name, exit_code=2
        )
    return _row("registry", OK, counted(len(rows), "row"), source.name)


def _lake(orchestrator: GenericProjectOrchestrator) -> list[Row]:
    catalog = catalog_of(orchestrator.place())
    if catalog is None:
        return [_folder("lake", lake_root(orchestrator.place()))]
    named = f"catalog {catalog or 'of the Spark session'}"
    rights = rights_to_write(orchestrator.place(), _tables(orchestrator))
    if rights is None:
        why = "doctor neither starts a session nor uses one that odibi_nb started"
        return [_row("lake", NOTE, f"{named}: not checked: {why}")]
    has = "and has all schemas"
    if rights.new_schemas:
        has = f"the first write creates {', '.join(rights.new_schemas)}"
    if rights.unknown:
        has += f"; whether you have {' and '.join(rights.unknown)} is known only with a write"
    state = NOTE if rights.new_schemas or rights.unknown else OK
    missing = [_row("lake", BAD, f"a right is missing: ask for: {one}") for one in rights.missing]
    return [_row("lake", state, f"{named}: can be used, {has}"), *missing]


def _tables(orchestrator: GenericProjectOrchestrator) -> Iterator[str]:
    """Yield the tables that a run would write, as far as the registry can be read.

    A plan may start a session, so it is made only when a table is asked for.
    """
    yield orchestrator.config.run_log
    with contextlib.suppress(OdibiError):  # the row about the registry names the problem
        for row in orchestrator.plan().rows.values():
            yield from (output.table for output in row.transformation.targets)


def _engine(orchestrator: GenericProjectOrchestrator) -> list[Row]:
    if orchestrator.engine == "spark":  # checking the tables would start a session
        return [_row("spark", OK, spark_session(orchestrator.place()))]
    orchestrator.tables(orchestrator.engine).check_writable()
    return []


def _folder(check: str, place: str) -> Row:
    """Report whether *place* is writable, without writing to it."""
    if "://" in place:
        return _row(check, NOTE, redact_url(place))
    nearest = Path(place)
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    writable = nearest.is_dir() and os.access(nearest, os.W_OK)
    state = "can be written" if Path(place).exists() else "will be created"
    return _row(
        check, OK if writable else BAD, f"{place}: {state if writable else 'cannot be written'}"
    )
