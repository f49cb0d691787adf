"""The TransformationRegistry in files of the project's folder: one file, or a folder of them."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from odibi_nb.core.model.transformation import JSON_COLUMNS, enabled_from
from odibi_nb.core.process.private_files import private_state
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.json import as_json, decode_config
from odibi_nb.errors import Problem, RegistryError
from odibi_nb.sources.file_changes import Writing, last_writer, note_writer, replace_files
from odibi_nb.sources.files import FORMATS, decoded_text, format_of, registry_bytes
from odibi_nb.sources.row_formats.row_format import Revision
from odibi_nb.sources.stored_registry import HOW_TO_MAKE, StoredRegistry
from odibi_nb.sources.upsert import COLUMNS, KEY, STAMPS, TRY_AGAIN, row_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.sources.row_formats.row_format import RowFormat
    from odibi_nb.sources.upsert import Changes, Edit, Key

LOCK_SECONDS = 10.0
"""Longest wait for another process that writes the same files. It needs them for milliseconds."""
MAX_TRIES = 20
"""Number of tries while other programs change the files between our read and our write."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was read, with its rows by the registry's names."""

    path: Path
    data: bytes
    text: str
    rows: list[Row]

    @property
    def format(self) -> RowFormat:
        return format_of(self.path)

    def line(self, number: int) -> int:
        """Return the line of row *number*, counted from 1; 0 if the line is unknown."""
        lines = self.format.lines(self.text)
        return lines[number] if number < len(lines) else 0


class FileRegistry(StoredRegistry):
    """Registry rows in a JSON, TOML or CSV file, or in all such files of a folder.

    The files may have rows of several projects and environments, as a table may. An edit replaces a file
    in one step, and leaves the text of all other rows as it is. A new row goes into the file that has most
    rows of its group, else of its layer, else into a new file with the layer's name.
    """

    def __init__(self, folder: Path, place: str, state_dir: Path) -> None:
        """Store the arguments. Nothing is read yet.

        Args:
            folder: the project's folder, in which the files must be.
            place: path of the file, or of the folder; relative to *folder*.
            state_dir: the project's state folder, for the lock of edits.
        """
        self.name = str(folder / place)
        self._folder = folder
        self._place = place
        self._state_dir = state_dir

    def export(self, project: str | None = None, env: str | None = None) -> list[Row]:
        files = self._read()
        columns = _columns(files)
        rows = [_stored(row, columns) for file in files for row in file.rows]
        kept = [
            row
            for row in rows
            if project is None or row["project"].lower() == project.strip().lower()
            if env in (None, row["environment"])
        ]
        return sorted(kept, key=lambda row: [row[name] for name in KEY])

    def create(self, all_columns: bool = False) -> list[str]:
        """Create the file or the folder, and return one line for each action. Files need no columns."""
        del all_columns
        path = self._checked_path()
        if path.exists():
            self._read()
            return []
        with self._lock():
            try:
                if self._is_folder(path):
                    path.mkdir(parents=True, exist_ok=True)
                    return [f"created folder {self._place}"]
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_files([Writing(path, None, format_of(path).write([]).encode())])
            except OSError as exc:
                raise RegistryError(self.name, [f"cannot be written: {exc.strerror}"]) from exc
        return [f"created file {self._place}"]

    def change(self, edit: Edit, *, write: bool = True) -> Changes:
        """Replace each file only if it still has the content from which the changes were computed."""
        if not write:
            return self._changes(edit, self._read())
        with self._lock():
            for _ in range(MAX_TRIES):
                files = self._read()
                changes = self._changes(edit, files)
                writings = self._writings(files, changes)
                try:
                    if not writings or replace_files(writings):
                        note_writer(self._state_dir, writings)
                        return changes
                except OSError as exc:
                    raise RegistryError(self.name, [f"cannot be written: {exc.strerror}"]) from exc
        raise RegistryError(self.name, ["another program keeps writing it: nothing was written"])

    def holds(self, path: Path) -> bool:
        """Return True if *path* is the registry's file, or is in its folder."""
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            return path.resolve().is_relative_to((self._folder / self._place).resolve())
        return False

    def _changes(self, edit: Edit, files: Sequence[_File]) -> Changes:
        columns = _columns(files)
        rows = [_stored(row, columns) for file in files for row in file.rows]
        try:
            return edit.changes(rows, columns, self.name)
        except RegistryError as exc:
            if all(problem.message != TRY_AGAIN for problem in exc.problems):
                raise
            # The rows show what changed, the files who changed it.
            writers = [Problem("", last_writer(self._state_dir, f.path, f.data)) for f in files]
            raise RegistryError(self.name, [*exc.problems, *writers]) from exc

    def _writings(self, files: Sequence[_File], changes: Changes) -> list[Writing]:
        """Return the write of each file that *changes* affect."""
        places = {row_key(row): (f.path, i) for f in files for i, row in enumerate(f.rows)}
        stamps = {name: str(utc_now()) for name in STAMPS if name in _columns(files)}
        updated = {name: value for name, value in stamps.items() if name == "updated_at"}
        revisions: dict[Path, Revision] = defaultdict(Revision)
        for old, new in changes.updates:
            path, number = places[row_key(old)]
            revisions[path].updates[number] = {**_opened(new), **updated}
        for row in changes.deletes:
            path, number = places[row_key(row)]
            revisions[path].deletes.add(number)
        for row in changes.inserts:
            revisions[self._path_for(row, files)].inserts.append({**_opened(row), **stamps})
        by_path = {file.path: file for file in files}
        return [_writing(path, by_path.get(path), one) for path, one in revisions.items()]

    def _path_for(self, row: Row, files: Sequence[_File]) -> Path:
        """Return the file for a new row."""
        root = self._checked_path()
        if not self._is_folder(root):
            return root
        for name in ("transformation_group_id", "layer"):
            value = row.get(name)
            counts = Counter(f.path for f in files for x in f.rows if x.get(name) == value)
            if value is not None and counts:
                return counts.most_common(1)[0][0]
        suffixes = Counter(file.path.suffix for file in files)
        suffix = suffixes.most_common(1)[0][0] if suffixes else ".json"
        layer = "".join(c if c.isalnum() or c in "-_" else "_" for c in str(row["layer"]).lower())
        path = root / f"{layer or 'rows'}{suffix}"
        known = {str(file.path).lower(): file.path for file in files}
        return known.get(str(path).lower(), path)

    def _read(self) -> list[_File]:
        """Read all files, or raise RegistryError with all problems of all files."""
        root = self._checked_path()
        files: list[_File] = []
        problems: list[Problem] = []
        for path in self._paths(root):
            part = str(path.relative_to(root)) if path != root else ""
            try:
                self._check_inside(path)
                data = _content(path)
                text = decoded_text(data, part)
            except RegistryError as exc:
                problems += [Problem(part, problem.message) for problem in exc.problems]
                continue
            rows, found = format_of(path).read(text)
            file = _File(path, data, text, rows)
            found = found or [*_without_key(file)]
            problems += [
                Problem(", ".join(filter(None, (part, where))), text) for where, text in found
            ]
            files.append(file)
        if not problems:
            problems += _duplicates(files, root)
        if problems:
            raise RegistryError(self.name, problems)
        return files

    def _paths(self, root: Path) -> list[Path]:
        if not root.exists():
            raise RegistryError(self.name, [f"does not exist; {HOW_TO_MAKE}"])
        if not self._is_folder(root):
            return [root]
        found = (path for path in root.rglob("*") if path.suffix.lower() in FORMATS)
        return sorted(
            path
            for path in found
            if not any(part.startswith(".") for part in path.relative_to(root).parts)
        )

    @staticmethod
    def _is_folder(path: Path) -> bool:
        return path.suffix.lower() not in FORMATS

    def _checked_path(self) -> Path:
        """Return the resolved path of the file or folder.

        Raises:
            RegistryError: if it is not in the project's folder, or is a file where its name means a folder, or the other way round.
        """
        path = self._check_inside(self._folder / self._place)
        if path == self._folder.resolve():
            raise RegistryError(self.name, ["must be a folder of its own in the project's folder"])
        named_file = not self._is_folder(Path(self._place))
        if path.exists() and path.is_dir() == named_file:
            expected, kind = ("file", "folder") if named_file else ("folder", "file")
            raise RegistryError(self.name, [f"expected a {expected}, found a {kind}"])
        return path

    def _check_inside(self, path: Path) -> Path:
        try:
            found = path.resolve()
            inside = found.is_relative_to(self._folder.resolve())
        except (OSError, RuntimeError, ValueError) as exc:  # a loop of links, a NUL in the path
            raise RegistryError(self.name, [f"is not a path: {exc}"]) from exc
        if not inside:
            message = f"must be in the project's folder {self._folder}, found {found}"
            raise RegistryError(self.name, [message])
        return found

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the lock for edits of this project's registry."""
        try:
            private_state(self._state_dir)
            lock = filelock.FileLock(self._state_dir / "locks" / "registry.lock")
            with lock.acquire(timeout=LOCK_SECONDS):
                yield
        except filelock.Timeout as exc:
            message = f"another process has been writing it for {LOCK_SECONDS:.0f} seconds"
            raise RegistryError(self.name, [f"{message}: nothing was written"]) from exc
        except OSError as exc:
            raise RegistryError(self.name, [f"cannot be locked: {exc}"]) from exc


def _writing(path: Path, old: _File | None, revision: Revision) -> Writing:
    """Return the write that applies *revision* to the file *old*, or that makes a new file.

    Raises:
        RegistryError: if the new text would not have exactly these changes.
    """
    if old is None:
        return Writing(path, None, format_of(path).write(revision.inserts).encode())
    text = old.format.revise(old.text, revision)
    edited = [
        {**row, **revision.updates.get(i, {})}
        for i, row in enumerate(old.rows)
        if i not in revision.deletes
    ]
    found, problems = old.format.read(text)
    if problems or [*map(_plain, found)] != [*map(_plain, (*edited, *revision.inserts))]:
        message = "cannot be edited without a change to other rows; edit it by hand"
        raise RegistryError(str(path), [message])
    mark = old.data[: len(old.data) - len(old.text.encode())]
    return Writing(path, old.data, mark + text.encode())


def _content(path: Path) -> bytes:
    """Return the content of a regular file. If it is a pipe, do not open it, because reading could wait forever."""
    if not path.is_file():
        raise RegistryError(str(path), ["is not a file"])
    return registry_bytes(path)


def _columns(files: Sequence[_File]) -> list[str]:
    """Return the columns of the registry. Time stamps are optional, because git has the times of changes."""
    given = {name for file in files for row in file.rows for name in row if name in STAMPS}
    return [name for name in COLUMNS if name not in STAMPS or name in given]


def _stored(row: Row, columns: Iterable[str]) -> Row:
    """Return *row* in the form of a table's row: all columns, JSON as text."""
    stored = {name: row.get(name) for name in columns}
    for name in JSON_COLUMNS:
        if stored[name] is not None and not isinstance(stored[name], str):
            stored[name] = as_json(stored[name])
    for name in KEY:
        stored[name] = str(stored[name]).strip()
    enabled = enabled_from(row.get("enabled", 1))  # a row of a table that omits it is enabled, too
    stored["enabled"] = row["enabled"] if enabled is None else int(enabled)
    return stored


def _opened(row: Row) -> Row:
    """Return the columns of *row* as a file has them: JSON text decoded, if it can be."""
    opened = dict(row)
    for name in JSON_COLUMNS:
        if isinstance(row.get(name), str):
            with contextlib.suppress(ValueError):
                opened[name] = decode_config(row[name])
    return opened


def _plain(row: Row) -> dict[str, str]:
    """Return *row* in a normal form, in which equal rows of all formats are equal."""
    plain = {}
    for name, value in row.items():
        if value is None or value == "":
            continue
        if name == "enabled":
            plain[name] = str(enabled_from(value))
        else:
            plain[name] = value if isinstance(value, str) else as_json(value, canonical=True)
    return plain


def _without_key(file: _File) -> Iterator[Problem]:
    """Yield the rows without a project, environment or id, which no run would find."""
    for number, row in enumerate(file.rows):
        missing = [name for name in KEY if not str(row.get(name) or "").strip()]
        if missing:
            where = f"line {file.line(number)}"
            if row.get("transformation_id"):
                where += f", row {row['transformation_id']!r}"
            yield Problem(where, f"has no {' and no '.join(missing)}")


def _duplicates(files: Sequence[_File], root: Path) -> Iterator[Problem]:
    seen: dict[Key, list[tuple[_File, int]]] = {}
    for file in files:
        for number, row in enumerate(file.rows):
            seen.setdefault(row_key(row), []).append((file, number))
    for (project, env, name), places in seen.items():
        if len(places) == 1:
            continue
        shown = [
            f"{file.path.relative_to(root)} line {file.line(i)}"
            if file.path != root
            else f"line {file.line(i)}"
            for file, i in places
        ]
        where = f"row {name!r} of project {project!r}, env {env!r}"
        yield Problem(where, f"occurs {len(places)} times: {' and '.join(shown)}")
