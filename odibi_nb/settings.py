"""Settings: ``%config``, then ``odibi.toml`` or ``[tool.odibi]``, then ``ODIBI_*``, then defaults.

The first place that sets a value wins. An argument of a call comes before all of them. A manifest comes
between the settings file and the environment variables.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec

from odibi_nb.core.model.manifest import SEED_FOLDERS
from odibi_nb.core.process.compute import find_compute, is_databricks
from odibi_nb.core.text.bounded_files import MAX_SETTINGS, read_bounded
from odibi_nb.core.text.structs import decode_struct
from odibi_nb.core.text.toml import decode_toml
from odibi_nb.errors import Problem, SettingsError, closest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "ODIBI_"
WORKSPACE = Path("/Workspace")
"""Folder below which Databricks shows the files of a workspace."""


class KnownSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All settings, with their types.

    Attributes:
        project: default project of commands.
        env: default environment of commands.
        engine: ``pandas`` or ``spark``.
        max_workers: maximum number of transformations at a time.
        log_level: level of the console.
        on_error: ``continue`` or ``stop``.
        schedule: ``layers`` or ``graph``.
        ui: view of a run: ``plotly``, ``widgets``, ``html`` or ``text``; ``auto`` takes the first of
            these that works.
        state_dir: folder of journals and locks.
        project_dirs: further folders to search for manifests; in a settings file, relative to its
            folder.
        save_logs: also write captured logs to a file.
        query_memory_mb: megabytes that one query of a pandas row may use for its work, and as many
            for its result; by default a quarter of the machine's memory.
        query_threads: threads of one such query; by default one per CPU.
    """

    project: str | None = None
    env: str | None = None
    engine: Literal["pandas", "spark"] | None = None
    max_workers: Annotated[int, msgspec.Meta(ge=1)] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] | None = None
    on_error: Literal["continue", "stop"] | None = None
    schedule: Literal["layers", "graph"] | None = None
    ui: Literal["auto", "plotly", "widgets", "html", "text"] | None = None
    state_dir: str | None = None
    project_dirs: tuple[str, ...] = ()
    save_logs: bool | None = None
    query_memory_mb: Annotated[int, msgspec.Meta(ge=64)] | None = None
    query_threads: Annotated[int, msgspec.Meta(ge=1)] | None = None


NAMES = KnownSettings.__struct_fields__
_SPELLED: dict[str, Callable[[str], str]] = {"engine": str.lower, "log_level": str.upper}
"""Settings whose values may be written in any case, with the function that normalizes them."""
_session: dict[str, Setting] = {}
"""Settings of this process alone."""


class Setting(NamedTuple):
    """A value and its source."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of each source; each attribute maps names to `Setting`.

    Attributes:
        file: settings of the settings file.
        environment: settings of the environment variables.
        session: settings of this process alone, from `set_for_session`.
    """

    file: Mapping[str, Setting] = field(default_factory=dict)
    environment: Mapping[str, Setting] = field(default_factory=dict)
    session: Mapping[str, Setting] = field(default_factory=dict)

    def resolve(
        self, name: str, argument: Any = None, manifest: Any = None, default: Any = None
    ) -> Setting:
        """Return the effective value of *name*, and its source."""
        if argument is not None:
            return Setting(argument, "argument")
        for place in (self.session, self.file):
            if name in place:
                return place[name]
        if manifest is not None:
            return Setting(manifest, "manifest")
        if name in self.environment:
            return self.environment[name]
        return Setting(default, "default")

    def get(self, name: str) -> Any:
        """Return the value of *name* from session, file or environment; None if no source sets it."""
        return self.resolve(name).value

    def project_dirs(self) -> tuple[str, ...]:
        """Return further folders to search for manifests.

        The working directory of a notebook or job on Databricks may be any folder, so there the folders
        around the notebook follow.
        """
        return (*(self.get("project_dirs") or ()), *_around_the_notebook())


def _around_the_notebook() -> tuple[str, ...]:
    if not is_databricks():
        return ()
    path = find_compute().notebook_path
    home = (WORKSPACE / path.lstrip("/")).parent
    return tuple(str(home / folder) for folder in (*SEED_FOLDERS, "..")) if path else ()


def load_settings(start: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of the nearest file at or above *start*, the environment and the session.

    Raises:
        SettingsError: with all problems of the file, or of the variables.
    """
    environ = os.environ if environ is None else environ
    return Settings(_from_file(start or Path.cwd()), _from_environment(environ), dict(_session))


def checked_setting(name: str, value: Any) -> Any:
    """Validate *value* for the setting *name*, and convert it to the setting's type; None stays None.

    Raises:
        SettingsError: if *name* cannot have this value.
    """
    if value is None:
        return None
    struct, problems = decode_struct({name: _spelled(name, value)}, KnownSettings, "")
    if struct is None:
        raise SettingsError(name, [problem._replace(where="") for problem in problems])
    return getattr(struct, name)


def set_for_session(name: str, value: Any, source: str) -> None:
    """Set *value* for this process; it overrides the settings file. None removes the setting.

    Args:
        name: one of `NAMES`.
        value: the value from `checked_setting`.
        source: the source that ``doctor`` shows.
    """
    _session.pop(name, None)
    if value is not None:
        _session[name] = Setting(value, source)


def _spelled(name: str, value: Any) -> Any:
    return _SPELLED[name](value) if name in _SPELLED and isinstance(value, str) else value


def _from_file(start: Path) -> dict[str, Setting]:
    for folder in (start, *start.parents):
        for name in ("odibi.toml", "pyproject.toml"):
            path = folder / name
            if path.is_file():
                table: Any = _read(path)
                if name == "pyproject.toml":
                    tools = table.get("tool")
                    table = tools.get("odibi") if isinstance(tools, dict) else None
                if table is not None:
                    return _checked(table, path)
    return {}


def _read(path: Path) -> dict[str, Any]:
    try:
        remedy = "keep only settings in it"
        return _decoded(read_bounded(path, MAX_SETTINGS, remedy).decode("utf-8-sig"))
    except (OSError, ValueError) as exc:
        raise SettingsError(str(path), [str(exc)]) from exc


@lru_cache(maxsize=16)
def _decoded(text: str) -> dict[str, Any]:
    """Decode the *text* of a settings file once: each run reads it three times. Callers must not change the result."""
    return decode_toml(text)


def _checked(table: Any, path: Path) -> dict[str, Setting]:
    if isinstance(table, dict):
        table = {name: _spelled(name, value) for name, value in table.items()}
    known, problems = decode_struct(table, KnownSettings, path.name)
    if known is None:
        raise SettingsError(str(path), problems)
    found = {name: getattr(known, name) for name in table}
    if "project_dirs" in found:
        found["project_dirs"] = tuple(str(path.parent / folder) for folder in found["project_dirs"])
    if found.get("state_dir"):
        found["state_dir"] = str(path.parent / found["state_dir"])
    return {name: Setting(value, path.name) for name, value in found.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    problems: list[Problem] = []
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name not in NAMES or not environ[variable]:
            continue
        raw: Any = _spelled(name, environ[variable])
        if name == "project_dirs":
            raw = raw.split(os.pathsep)
        struct, wrong = decode_struct({name: raw}, KnownSettings, variable, strict=False)
        problems += [problem._replace(where=variable) for problem in wrong]
        if struct is not None:
            found[name] = Setting(getattr(struct, name), variable)
    if problems:
        raise SettingsError("environment variables", problems)
    return found


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the ``ODIBI_*`` variables that are not settings, with hints; for ``doctor``."""
    unknown = []
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX).lower()
        if name != variable.lower() and name not in NAMES:
            close = closest(name, NAMES)
            hint = f" (did you mean {PREFIX + close.upper()!r}?)" if close else ""
            unknown.append(variable + hint)
    return unknown
