"""The manifest of a project: its layers, environments and rules."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.notification import Channel, check_channels
from odibi_nb.core.model.rich_display import RichDisplay
from odibi_nb.core.text.bounded_files import MAX_MANIFEST, read_bounded
from odibi_nb.core.text.json import decode_config
from odibi_nb.core.text.redaction import redact, shown
from odibi_nb.core.text.structs import decode_struct
from odibi_nb.core.text.variables import expand_variables
from odibi_nb.errors import ManifestError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SHELL_VARIABLE = re.compile(r"\$[A-Za-z_]\w*(?:/|$)")
DEFAULT_LAKE = "lake"
"""Folder beside the manifest that contains the tables if an environment names no lake."""
MAX_FOLDER_BYTES = 100
"""Longest folder name that we choose. File systems allow 255 bytes, but names made from it are longer."""
_WINDOWS_NAMES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{name}{i}" for name in ("com", "lpt") for i in range(1, 10)))
)
SEED_FOLDERS = ("projects", ".", "../projects")
"""Folders in which the seed looks for ``<slug>/manifest.json``, in this order."""


class LayerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one layer.

    Attributes:
        name: a name for display; rows use the layer's key.
        description: one sentence about the layer.
        depends_on: earlier layers that this one builds on. The manifest's view shows them, but only
            `layer_order` and the tables decide the order of a run.
        max_workers: number of parallel transformations of the layer.
        cache_tables: tables to cache after the layer, as in `cache_plan`.
        retry: settings that override the run's retry policy.
        timeout_seconds: time limit of each attempt of each row of the layer.
        ordered_by_step: rows wait for all rows of the layer with a lower `step`. Without it, `step` is
            only the registry's own number, and rows wait only for the tables that they read.
    """

    name: str | None = None
    description: str = ""
    depends_on: tuple[str, ...] = ()
    max_workers: int | None = None
    cache_tables: tuple[str, ...] = ()
    retry: dict[str, Any] = msgspec.field(default_factory=dict)
    timeout_seconds: float | None = None
    ordered_by_step: bool = False


class RegistryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Place of the TransformationRegistry: a table of a database, or of the lake without a URL.

    Attributes:
        url: SQLAlchemy URL of the database; by default the registry is in the lake.
        table: name of the table.
        schema: schema of the table; by default the connection's own.
    """

    url: str | None = None
    table: str = "TransformationRegistry"
    schema: str | None = None


class EnvironmentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one environment: its engine, and the places of rows, tables and files.

    Attributes:
        engine: ``pandas`` or ``spark``.
        registry: place of the TransformationRegistry: a file beside the manifest (``registry.json``,
            ``.toml`` or ``.csv``), a folder of such files (``registry/``), an SQLAlchemy URL, the name of
            a table of the lake, or an object with `url`, `table`, `schema`.
        lake: root folder or URL of the tables; ``catalog`` or ``catalog:NAME`` if the tables are in a
            catalog of the Spark session, such as Unity Catalog.
        locations: prefix to its replacement, so that ``adls://raw/…`` can be a local folder here.
        protected: a run must be confirmed with the project's name, or with ``--yes``.
        run_log: table of the run log.
        shared: True if several machines run this environment. The lake then also stores which run may go
            on and which runs have begun. If not set: true for a lake at a URL or on a Databricks mount, and
            for a catalog of Databricks or of a remote session.
        log_url: SQLAlchemy URL of a database in which the run log is also stored.
        log_csv: CSV file on this machine in which the run log is also stored, for a spreadsheet. The
            path is relative to the manifest. The log of runs is beside it, in ``…_runs.csv``.
        auth_provider: ``module:function``, called as in the seed.
        connections: name to SQLAlchemy URL, for ``odibi_nb.ingest.load_sql``.
        storage_options: options of the storage of `lake`.
        location_options: URL prefix to the storage options of files and Delta tables below it. Rows must
            not contain storage options, so this is the only place for them.
        spark: Spark configuration, or ``remote``.
        notify: name to a channel that gets messages about runs: a webhook, Slack, Teams or e-mail.
    """

    engine: str | None = None
    registry: str | RegistryConfig | None = None
    lake: str | None = None
    locations: dict[str, str] = msgspec.field(default_factory=dict)
    protected: bool = False
    run_log: str = "config_driven.TransformationRunLog"
    shared: bool | None = None
    log_url: str | None = None
    log_csv: str | None = None
    auth_provider: str | None = None
    connections: dict[str, str] = msgspec.field(default_factory=dict)
    storage_options: dict[str, str] = msgspec.field(default_factory=dict)
    location_options: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    spark: dict[str, Any] = msgspec.field(default_factory=dict)
    notify: dict[str, Channel] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the fields without the secrets that ``${NAME}`` has put into them."""
        return f"{type(self).__name__}({redact(msgspec.structs.asdict(self))})"


class ProjectManifest(
    msgspec.Struct, RichDisplay, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A project's ``manifest.json``.

    Environments are stored as written. Only `environment` expands ``${NAME}``, for the one environment
    that is used, so that a laptop does not need the secrets of prod.

    Attributes:
        project: the project's name, as in registry rows.
        description: one sentence about the project.
        layer_order: the layers, in the order in which they run.
        cache_plan: layer to the tables to cache after it.
        version: the project's own version.
        owner: person or team responsible for the project.
        tags: words for finding the project.
        layers: layer to its settings.
        environments: environment to its settings; a list of names is accepted, too.
        default_env: the environment of commands that do not name one.
        entity_labels: ``entity_1`` … to its name for display, such as ``plant``.
        outputs_required: a transformation fails if it leaves one of its outputs unchanged, unless that
            output has ``"optional": true``. Without this setting, the run only warns.
        transformation_modules: prefixes of the modules that rows may name; empty for any.
        allowed_locations: folders and URLs below which rows may read files, relative to the
            manifest. If the list is missing, rows may read the project's folder if
            `transformation_modules` is set, and everything otherwise. The lake and the targets of
            ``locations`` are always allowed. With such a limit, rows can only access databases by their
            names in ``connections``.
        parameters: values that each function finds in ``context.parameters``.
        project_type: accepted for the original framework; nothing reads it.
        metadata: anything else; nothing reads it.
    """

    project: str
    description: str = ""
    layer_order: tuple[str, ...] = ("Bronze", "Silver_1", "Gold_1")
    cache_plan: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    version: str = "1.0.0"
    owner: str | None = None
    tags: tuple[str, ...] = ()
    layers: dict[str, LayerConfig] = msgspec.field(default_factory=dict)
    environments: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    default_env: str | None = None
    entity_labels: dict[str, str] = msgspec.field(default_factory=dict)
    transformation_modules: tuple[str, ...] = ()
    outputs_required: bool = False
    allowed_locations: tuple[str, ...] | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    project_type: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def from_json(cls, path: Path | str) -> ProjectManifest:
        """Read a manifest file.

        Raises:
            ManifestError: if the file is invalid; contains all problems.
        """
        path = Path(path)
        try:
            data = read_bounded(path, MAX_MANIFEST, "keep the rows in the registry")
        except (OSError, ValueError) as exc:  # a ValueError: too large, or a NUL in the path
            why = getattr(exc, "strerror", exc)
            raise ManifestError(str(path), [f"cannot be read: {why}"]) from exc
        try:
            raw = decode_config(data)
        except ValueError as exc:
            raise ManifestError(str(path), [str(exc)]) from exc
        return cls.from_dict(raw, path)

    @classmethod
    def from_dict(cls, raw: Any, path: Path | None = None) -> ProjectManifest:
        """Check and convert decoded JSON, in which `project_name` may replace `project`.

        Raises:
            ManifestError: if the JSON is not a valid manifest; contains all problems.
        """
        source = str(path) if path else "manifest"
        raw, odd = _modern(raw) if isinstance(raw, dict) else (raw, [])
        manifest, problems = decode_struct(raw, cls)
        problems = [*odd, *problems]
        if manifest is not None:
            problems += [*_check_layers(manifest), *_check_environments(manifest)]
        if manifest is None or problems:
            raise ManifestError(source, problems)
        return msgspec.structs.replace(manifest, path=path.resolve() if path else None)

    @property
    def folder(self) -> Path:
        """Folder that contains the manifest; the manifest's relative paths start here."""
        return self.path.parent if self.path else Path.cwd()

    def environment(self, env: str) -> EnvironmentConfig:
        """Return the settings of *env* with ``${NAME}`` expanded.

        Raises:
            ManifestError: if the manifest lists environments but not *env*, if a variable is not set,
                or if a value is wrong.
        """
        source = str(self.path or self.project)
        if self.environments and env not in self.environments:
            hint = did_you_mean(str(env), self.environments)
            hint = hint or f": it has {', '.join(self.environments)}"
            raise ManifestError(source, [Problem("$.environments", f"unknown env {env!r}{hint}")])
        where = f"$.environments.{env}"
        raw, problems = expand_variables(self.environments.get(env, {}), where)
        config = None
        if not problems:
            config, problems = decode_struct(raw, EnvironmentConfig, where)
        if config is not None:
            lake = self.environments.get(env, {}).get("lake")
            problems += _check_lake(lake, f"{where}.lake")
            for channel in config.notify.values():
                channel.hide_secrets()
            problems += check_channels(config.notify, f"{where}.notify")
        if config is None or problems:
            raise ManifestError(source, problems)
        return config

    def select_layers(
        self, target_layers: Sequence[str] | None, where: str = "target_layers"
    ) -> tuple[str, ...]:
        """Return *target_layers* in the manifest's order, or all layers if it is None or empty.

        Args:
            target_layers: names of layers in any case and order.
            where: name of this argument in problems.

        Raises:
            ManifestError: if a layer is unknown.
        """
        if not target_layers:
            return self.layer_order
        known = {layer.casefold() for layer in self.layer_order}
        problems = []
        for layer in target_layers:
            if layer.casefold() not in known:
                hint = did_you_mean(layer, self.layer_order)
                hint = hint or f": layer_order is {', '.join(self.layer_order)}"
                problems.append(Problem(where, f"unknown layer {layer!r}{hint}"))
        if problems:
            raise ManifestError(str(self.path or self.project), problems)
        requested = {layer.casefold() for layer in target_layers}
        return tuple(layer for layer in self.layer_order if layer.casefold() in requested)

    def __repr__(self) -> str:
        envs = ", ".join(
            f"{env} (protected)" if raw.get("protected") else env
            for env, raw in self.environments.items()
        )
        layers = " → ".join(self.layer_order)
        return f"<ProjectManifest {self.project!r}: {layers}; envs {envs or 'any'}>"


def _modern(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return *raw* with the framework's older forms replaced, and problems.

    The older forms are `project_name` and a list of environments.
    """
    raw = {key: value for key, value in raw.items() if key != "path"}
    older = raw.pop("project_name", None)
    if raw.get("project") is None and older is not None:
        raw["project"] = older
    names = raw.get("environments")
    if not isinstance(names, list):
        return raw, []
    raw["environments"] = {name: {} for name in names if isinstance(name, str)}
    return raw, [
        Problem(f"$.environments[{i}]", f"expected an environment's name, found {shown(name)}")
        for i, name in enumerate(names)
        if not isinstance(name, str)
    ]


def _check_layers(manifest: ProjectManifest) -> Iterator[Problem]:
    known = manifest.layer_order
    if not known:
        yield Problem("$.layer_order", "names no layer")
    folds = [layer.casefold() for layer in known]
    for i, layer in enumerate(known):
        if not layer.strip():
            yield Problem(f"$.layer_order[{i}]", "is empty")
        elif folds.index(layer.casefold()) < i:
            yield Problem("$.layer_order", f"names layer {layer!r} twice")
    for field in ("cache_plan", "layers"):
        for layer in getattr(manifest, field):
            if layer not in known:
                message = f"unknown layer {layer!r}{did_you_mean(layer, known)}"
                yield Problem(f"$.{field}.{layer}", message)
    for layer, config in manifest.layers.items():
        before = known[: known.index(layer)] if layer in known else known
        yield from _check_layer(config, before, f"$.layers.{layer}")


def _check_layer(config: LayerConfig, before: Sequence[str], where: str) -> Iterator[Problem]:
    for upstream in config.depends_on:
        if upstream not in before:
            message = f"{upstream!r} does not come before it in layer_order"
            yield Problem(f"{where}.depends_on", message)
    workers, seconds = config.max_workers, config.timeout_seconds
    if workers is not None and workers < 1:
        yield Problem(f"{where}.max_workers", f"expected at least 1, found {workers}")
    if seconds is not None and seconds <= 0:
        yield Problem(f"{where}.timeout_seconds", f"expected seconds above 0, found {seconds:g}")


def _check_lake(lake: Any, where: str) -> Iterator[Problem]:
    """Yield the problem of a folder that only a shell would find: odibi would create one of that name."""
    if not isinstance(lake, str) or not lake:
        return
    if not lake.strip():
        yield Problem(where, f"is blank, found {shown(lake)}")
    elif lake.startswith("~"):
        yield Problem(where, f"~ is not expanded, found {shown(lake)}: write ${{HOME}}{lake[1:]}")
    elif _SHELL_VARIABLE.match(lake):
        name = lake[1:].partition("/")[0]
        yield Problem(where, f"${name} is not expanded: write ${{{name}}}")


def _check_environments(manifest: ProjectManifest) -> Iterator[Problem]:
    if not manifest.project.strip():
        yield Problem("$.project", "is empty")
    default, known = manifest.default_env, manifest.environments
    if default and known and default not in known:
        yield Problem("$.default_env", f"unknown env {default!r}{did_you_mean(default, known)}")
    for env, raw in known.items():
        config, problems = decode_struct(raw, EnvironmentConfig, f"$.environments.{env}")
        yield from problems
        if config is not None:
            yield from check_channels(config.notify, f"$.environments.{env}.notify")


def slug(project: str) -> str:
    """Return the seed's folder name for a project: in lower case, with underscores for spaces."""
    return project.lower().replace(" ", "_")


def plain_slug(project: str) -> str:
    """Return a folder name that all file systems accept: only ASCII letters, digits, underscores."""
    return re.sub(r"[^a-z0-9]+", "_", project.lower()).strip("_")


def folder_name(project: str) -> str:
    """Return a folder name for a project in any script.

    It consists of the letters, marks and digits of the project's name, with underscores between them.
    If the name has none of them, return "".
    """
    plain = unicodedata.normalize("NFC", project).lower()
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else "_" for c in plain)
    name = re.sub("_+", "_", kept).strip("_")
    short = name.encode()[:MAX_FOLDER_BYTES].decode(errors="ignore").strip("_")
    return f"{short}_" if short in _WINDOWS_NAMES else short


def manifest_paths(folders: Iterable[str] = (), start: Path | None = None) -> list[Path]:
    """Return each ``*/manifest.json`` in the seed's folders and in *folders*, relative to *start*.

    The ``manifest.json`` of *start* itself comes last.
    """
    start = start or Path.cwd()
    found: dict[Path, Path] = {}
    for folder in (*SEED_FOLDERS, *folders):
        for path in sorted((start / folder).glob("*/manifest.json")):
            found.setdefault(path.resolve(), path)
    own = start / "manifest.json"
    if own.is_file():
        found.setdefault(own.resolve(), own)
    return list(found.values())


def find_manifest(
    project: str,
    manifest_path: Path | str | None = None,
    folders: Iterable[str] = (),
    start: Path | None = None,
) -> ProjectManifest:
    """Read the manifest of *project* at *manifest_path*, or search the seed's folders for it.

    The search covers the seed's folders and *folders*. It first looks for ``<slug>/manifest.json``, as
    the seed does. Then it reads all manifests in these folders and returns the manifest that names the
    project.

    Raises:
        ManifestError: if no manifest or more than one names the project, or if the manifest at
            *manifest_path* belongs to another project.
    """
    if manifest_path is not None:
        manifest = ProjectManifest.from_json(manifest_path)
        if project and not _same(project, manifest.project):
            other = Problem("$.project", f"is {manifest.project!r}, not {project!r}")
            raise ManifestError(str(manifest_path), [other])
        return manifest
    start = start or Path.cwd()
    folders = tuple(folders)
    alike: ProjectManifest | None = None
    names = dict.fromkeys((slug(project), plain_slug(project), folder_name(project)))
    for folder in (*SEED_FOLDERS, *folders):
        for name in filter(_is_folder_name, names):
            path = start / folder / name / "manifest.json"
            if os.path.isfile(path):  # noqa: PTH113  never raises
                manifest = ProjectManifest.from_json(path)
                if _is_named(project, manifest.project):
                    return manifest
                alike = alike or (manifest if _same(project, manifest.project) else None)
    try:  # another manifest may have exactly this name
        return _by_name(project, folders, start)
    except ManifestError:
        if alike is None:
            raise
        return alike


def _by_name(project: str, folders: Sequence[str], start: Path) -> ProjectManifest:
    """Return the one manifest in the seed's folders and *folders* that names *project*."""
    found: list[ProjectManifest] = []
    others: list[str] = []
    problems: list[Problem] = []
    for path in manifest_paths(folders, start):
        try:
            manifest = ProjectManifest.from_json(path)
        except ManifestError as exc:
            problems.append(Problem("", f"{path}: {exc.problems[0]}"))
            continue
        if _same(project, manifest.project):
            found.append(manifest)
        else:
            others.append(manifest.project)
    found = [m for m in found if _is_named(project, m.project)] or found
    if len(found) == 1:
        return found[0]
    if found:
        paths = ", ".join(str(manifest.path) for manifest in found)
        problems = [Problem("", f"several manifests name it: {paths}; give manifest_path")]
    else:
        problems.insert(0, Problem("", _not_found(project, others, folders, start)))
    raise ManifestError(f"project {project!r}", problems)


def _is_named(asked: str, found: str) -> bool:
    return bool(asked.strip()) and asked.casefold() == found.casefold()


def _same(asked: str, found: str) -> bool:
    """Return True if *asked* names the project *found* or its folder."""
    if not asked.strip():
        return False
    folders = {slug(found), plain_slug(found), folder_name(found)}
    return _is_named(asked, found) or asked in folders


def _is_folder_name(name: str) -> bool:
    return bool(name) and not set(name) & set("/\\\0") and name not in {".", ".."}


def _not_found(project: str, names: list[str], folders: Sequence[str], start: Path) -> str:
    looked = ", ".join(f"{folder}/*/manifest.json" for folder in (*SEED_FOLDERS, *folders))
    hint = did_you_mean(project, names) or (
        f"; manifests found: {', '.join(map(repr, names))}" if names else ""
    )
    return f"no manifest found{hint}. Looked for {looked} from {start}; or give manifest_path"


def shown_path(path: Path | None) -> str:
    """Return *path* relative to the working directory if it is below it, and else unchanged."""
    if path is None:
        return "memory"
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
