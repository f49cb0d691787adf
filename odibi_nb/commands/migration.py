"""``doctor --migration``: list the parts of an original framework's project that need a change."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.commands.opening import environment_name, found_manifests, open_in, open_manifest
from odibi_nb.core.model.manifest import ProjectManifest, shown_path
from odibi_nb.core.running.hooks import RENAMED
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import decode_config
from odibi_nb.errors import ConfigurationError, OdibiError, RegistryError
from odibi_nb.sources.ingestion_config import TABLE as INGESTION_TABLE
from odibi_nb.views.records import Records
from odibi_nb.wiring import make_frame, make_registry

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ORIGINAL = "odibi_de_v2"
COLUMNS = ("place", "state", "found", "change")
MUST, LOOK = "✖ change", "· look at"
MAX_BYTES = 2_000_000
"""Larger files are data, not code."""
_LEFT_OUT = frozenset(
    {".git", ".odibi", ".venv", "lake", "__pycache__", ".ipynb_checkpoints", "node_modules"}
)
_MAGIC = re.compile(r"^[ \t]*[%!].*$", re.MULTILINE)
_WRITERS = frozenset(
    {"saveAsTable", "insertInto", "to_csv", "to_parquet", "write_deltalake", "toTable"}
)
_WITHOUT_COUNTERPART = {
    "ingestion": "use the functions of odibi_nb.ingest, or context.read",
    "storage": "return the frame, or use context.write",
    "connector": "use locations, connections and location_options of the manifest",
    "databricks": "use odibi_nb.ingest and context; see the migration guide",
}
"""Packages of the original without a counterpart, and the remedy."""
_TEXTS = {
    "cloudFiles": (MUST, "Auto Loader: use spark.readStream with trigger(availableNow=True)"),
    "SecretsConfig": (MUST, "use ${NAME} in the manifest, or your auth_provider"),
    "IngestionTargetConfig": (MUST, "name the table in the row's outputs"),
    INGESTION_TABLE: (
        MUST,
        f"`odibi registry import {INGESTION_TABLE} --ingestion-config` makes Bronze rows",
    ),
}


class Finding(NamedTuple):
    """One place to change or to look at."""

    place: str
    state: str
    found: str
    change: str


class MigrationReport(Records):
    """The places of a project that need a change."""

    @property
    def exit_code(self) -> int:
        """Exit code: 1 if a place must change, otherwise 0."""
        return int(any(row["state"] == MUST for row in self.rows))


def migration(arguments: argparse.Namespace) -> MigrationReport:
    """List the places of a project that need a change. Reads files and the registry, and writes nothing."""
    manifest = _manifest(arguments)
    found = [*_in_manifest(manifest), *_in_files(manifest.folder)]
    found += _in_registry(arguments, manifest)
    must = sum(finding.state == MUST for finding in found)
    places = f"{counted(must, 'place')} to change, {counted(len(found) - must, 'place')} to look at"
    title = f"migration of {manifest.project!r} from {ORIGINAL}: {places}"
    return MigrationReport(title, COLUMNS, [finding._asdict() for finding in found], make_frame)


def _manifest(arguments: argparse.Namespace) -> ProjectManifest:
    """Return the project's manifest; its error names what must change in a manifest that does not load."""
    try:
        return open_manifest(arguments)
    except ConfigurationError:
        _, errors = found_manifests()
        if errors:  # the manifest that was meant may be one of these
            raise errors[0] from None
        raise


def _in_manifest(manifest: ProjectManifest) -> Iterator[Finding]:
    assert manifest.path is not None
    text = manifest.path.read_text(encoding="utf-8-sig")
    raw = decode_config(text)
    shown = shown_path(manifest.path)

    def at(key: str) -> str:
        found = re.search(rf'"{re.escape(key)}"\s*:', text)
        return f"{shown}:{text.count(chr(10), 0, found.start()) + 1}" if found else shown

    if "project_name" in raw:
        yield Finding(
            at("project_name"), LOOK, "project_name", 'understood; today\'s name is "project"'
        )
    if "project_type" in raw:
        yield Finding(at("project_type"), LOOK, "project_type", "accepted; nothing reads it")
    environments = raw.get("environments")
    if isinstance(environments, list) or not environments:
        yield Finding(
            at("environments"),
            MUST,
            "environments without settings",
            'use an object: each environment needs "registry", and "engine" if it is not Spark',
        )
        return
    for name, settings in environments.items():
        if not settings.get("registry") and not settings.get("auth_provider"):
            change = 'add "registry" (a file, a table or a URL), or "auth_provider"'
            yield Finding(at(name), MUST, f"environment {name!r} has no registry", change)


def _in_files(home: Path) -> Iterator[Finding]:
    readers = {".py": _in_code, ".ipynb": _in_notebook, ".sql": _in_text}
    for path in sorted(home.rglob("*")):
        if _LEFT_OUT.intersection(path.relative_to(home).parts[:-1]) or not path.is_file():
            continue
        if path.suffix not in readers or path.stat().st_size > MAX_BYTES:
            continue
        shown = shown_path(path.resolve())
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            yield Finding(shown, LOOK, f"cannot be read: {exc}", "look at it")
            continue
        yield from readers[path.suffix](text, shown)


def _in_notebook(text: str, shown: str) -> Iterator[Finding]:
    try:
        cells = json.loads(text)["cells"]
    except (ValueError, KeyError, TypeError):
        yield Finding(shown, LOOK, "is not a notebook", "look at it")
        return
    for number, cell in enumerate(cells, 1):
        if cell.get("cell_type") == "code":
            source = "".join(cell.get("source", ()))
            yield from _in_code(_MAGIC.sub("pass", source), f"{shown}, cell {number}")


def _in_text(text: str, shown: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        yield from _in_words(line, f"{shown}:{number}")


def _in_words(text: str, place: str) -> Iterator[Finding]:
    for word, (state, change) in _TEXTS.items():
        if word in text:
            yield Finding(place, state, word, change)


def _in_code(text: str, shown: str) -> Iterator[Finding]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as exc:
        yield Finding(shown, LOOK, f"cannot be parsed: {exc}", "look at it")
        return
    found: list[tuple[int, Finding]] = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        found += [(line, finding) for finding in _in_node(node, f"{shown}:{line}")]
    yield from dict.fromkeys(finding for _, finding in sorted(found, key=lambda pair: pair[0]))


def _in_node(node: ast.AST, place: str) -> Iterator[Finding]:
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from _in_import(node.module, [name.name for name in node.names], place)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            yield from _in_import(alias.name, (), place)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _in_words(node.value, place)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name, given = node.func.attr, node.args[0] if node.args else None
        event = given.value if isinstance(given, ast.Constant) else None
        if name in {"register", "emit"} and isinstance(event, str) and event in RENAMED:
            yield Finding(place, MUST, f"event {event!r}", f"it is called {RENAMED[event].value!r}")
        if name in _WRITERS:
            change = "works; context.write, or a returned frame, adds checks, row counts, retries and cancel"
            yield Finding(place, LOOK, f"a write that bypasses context: {name}", change)


def _in_import(module: str, names: Iterable[str], place: str) -> Iterator[Finding]:
    package, _, rest = module.partition(".")
    if package != ORIGINAL:
        return
    ours = f"odibi_nb.{rest}" if rest else "odibi_nb"
    found = f"import of {module}"
    if not _exists(ours):
        remedy = _WITHOUT_COUNTERPART.get(rest.partition(".")[0], "see the migration guide")
        yield Finding(place, MUST, found, f"no counterpart: {remedy}")
        return
    missing = [name for name in names if name != "*" and not _has(ours, name)]
    change = f"import {ours}"
    if missing:
        change += f"; it has no {', '.join(missing)}"
    yield Finding(place, MUST, found, change)


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _has(module: str, name: str) -> bool:
    return hasattr(import_module(module), name) or _exists(f"{module}.{name}")


def _in_registry(arguments: argparse.Namespace, manifest: ProjectManifest) -> Iterator[Finding]:
    """Yield the changes that the registry's rows need, if the manifest's registry can be read."""
    try:
        orchestrator = open_in(manifest, environment_name(arguments, manifest))
    except OdibiError as exc:
        yield Finding("registry", LOOK, _first_line(exc), "fix this first, then run doctor again")
        return
    try:
        source = make_registry(orchestrator.place())
        rows = [*source.fetch(orchestrator.project, orchestrator.env)]
        yield from _in_rows(rows, manifest, source.name)
        for problem in orchestrator.plan().problems:
            yield Finding(f"{source.name}, {problem.where}", MUST, problem.message, "fix the row")
    except OdibiError as exc:
        state = MUST if isinstance(exc, RegistryError) else LOOK
        yield Finding("registry", state, _first_line(exc), "fix this first, then run doctor again")
    finally:
        orchestrator.close()


def _in_rows(rows: Iterable[Any], manifest: ProjectManifest, name: str) -> Iterator[Finding]:
    stepped: set[str] = set()
    for raw in rows:
        row = {key.lower(): value for key, value in raw.items()}
        where = f"{name}, row {row.get('transformation_id')!r}"
        outputs = row.get("outputs")
        if isinstance(outputs, str):
            try:
                outputs = decode_config(outputs)
            except ValueError:
                continue  # the plan reports it
        if isinstance(outputs, list) and any(isinstance(item, str) for item in outputs):
            change = (
                'works if the function writes the table; for a returned frame use {"table": "…"}'
            )
            yield Finding(where, LOOK, "outputs as texts", change)
        if str(row.get("module", "")).startswith(f"{ORIGINAL}."):
            yield Finding(
                where,
                MUST,
                f"module {row['module']}",
                "name one of your modules, or odibi_nb.ingest",
            )
        if row.get("step") is not None:
            stepped.add(str(row.get("layer")))
    for layer in sorted(stepped):
        config = manifest.layers.get(layer)
        if config is None or not config.ordered_by_step:
            change = f'step orders rows only with "ordered_by_step": true in layers.{layer}'
            yield Finding(f"{name}, layer {layer!r}", LOOK, "rows with a step", change)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]
