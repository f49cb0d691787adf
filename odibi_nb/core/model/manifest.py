"""The manifest: what a project is, in which layers it runs, and where its environments are."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from odibi_nb.core.model.rich_display import RichDisplay
from odibi_nb.core.text.json import decode_config
from odibi_nb.core.text.redaction import shown
from odibi_nb.core.text.structs import decode_struct, expand_variables
from odibi_nb.errors import ManifestError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

StructT = TypeVar("StructT", bound=msgspec.Struct)

DEFAULT_LAYER_ORDER = ("Bronze", "Silver_1", "Gold_1")
DEFAULT_LAKE = "lake"
"""The folder beside the manifest that keeps the tables where an environment names no lake."""
MAX_FOLDER_BYTES = 100
"""Of a folder's name that we choose: file systems take 255, and file names in it grow."""
_WINDOWS_NAMES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{name}{i}" for name in ("com", "lpt") for i in range(1, 10)))
)
SEED_FOLDERS = ("projects", ".", "../projects")
"""Where the seed looks for ``<slug>/manifest.json``, in this order."""


class LayerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a manifest may say about one layer.

    Attributes:
        name: a name for people; the layer's key is what rows use.
        description: one sentence about the layer.
        depends_on: earlier layers that this one builds on. The manifest's view shows them; the order
            of the run is that of `layer_order` and of the tables.
        max_workers: transformations of the layer at a time.
        cache_tables: tables to cache after the layer, as in `cache_plan`.
        retry: overlays the run's retry policy.
        timeout_seconds: for each attempt of each row of the layer.
        ordered_by_step: rows wait for all rows of the layer with a lower `step`. Without it `step` is
            the registry's own number, and rows wait only for what they read.
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
    """Where the TransformationRegistry is: a database's schema and table; the lake's without a URL.

    Attributes:
        url: SQLAlchemy URL of the database; the lake if left out.
        table: name of the table.
        schema: the table's schema; the connection's default if left out.
    """

    url: str | None = None
    table: str = "TransformationRegistry"
    schema: str | None = None


class EnvironmentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One environment: which engine runs, where rows, tables and files are.

    Attributes:
        engine: ``pandas`` or ``spark``.
        registry: SQLAlchemy URL of the TransformationRegistry, or the name of a table of the lake,
            or an object with `url`, `table`, `schema`.
        lake: root folder or URL of the tables; ``catalog`` or ``catalog:NAME`` where the Spark session's
            catalog keeps them, such as Unity Catalog.
        locations: prefix to prefix, so that ``adls://raw/…`` can be a local folder here.
        protected: running needs the project's name typed, or ``--yes``.
        run_log: table of the run log.
        log_url: SQLAlchemy URL; the run log is also kept there.
        log_csv: CSV file on this machine, relative to the manifest; the run log is also kept there,
            for a spreadsheet, and that of runs beside it, in ``…_runs.csv``.
        auth_provider: ``module:function``, called as in the seed.
        connections: name to SQLAlchemy URL, for ``odibi_nb.ingest.load_sql``.
        storage_options: for `lake`, as its storage wants them.
        location_options: URL prefix to the storage options for files and Delta tables below it; the
            only place for them, as rows must not bring any.
        spark: Spark configuration, or ``remote``.
    """

    engine: str | None = None
    registry: str | RegistryConfig | None = None
    lake: str | None = None
    locations: dict[str, str] = msgspec.field(default_factory=dict)
    protected: bool = False
    run_log: str = "config_driven.TransformationRunLog"
    log_url: str | None = None
    log_csv: str | None = None
    auth_provider: str | None = None
    connections: dict[str, str] = msgspec.field(default_factory=dict)
    storage_options: dict[str, str] = msgspec.field(default_factory=dict)
    location_options: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    spark: dict[str, Any] = msgspec.field(default_factory=dict)


class ProjectManifest(
    msgspec.Struct, RichDisplay, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A project's ``manifest.json``.

    Environments are kept as written: ``${NAME}`` in them is only expanded for the one that is
    used, by `environment`, so that prod's secrets need not be set on a laptop.

    Attributes:
        project: the project's name, as registry rows have it.
        description: one sentence about the project.
        layer_order: the layers, in the order in which they run.
        cache_plan: layer to the tables that are cached after it.
        version: the project's own version.
        owner: who answers for the project.
        tags: words to find the project by.
        layers: layer to its settings.
        environments: environment to its settings; a list of names is understood, too.
        default_env: the environment of commands that name none.
        entity_labels: ``entity_1`` … to the name that people use, such as ``plant``.
        outputs_required: a transformation that leaves one of its outputs as it was has failed, unless
            that is ``"optional": true``. Otherwise the run warns.
        transformation_modules: prefixes of the modules that rows may name; empty for any.
        allowed_locations: folders and URLs below which rows may read files, relative to the
            manifest. By default the project's folder where `transformation_modules` is set, else
            everything. The targets of ``locations`` and the lake are always allowed. Where there is
            such a list, rows reach databases only by the names in ``connections``.
        parameters: values that every function finds in ``context.parameters``.
        project_type: kept for the original framework; nothing reads it.
        metadata: anything else; nothing reads it.
    """

    project: str
    description: str = ""
    layer_order: tuple[str, ...] = DEFAULT_LAYER_ORDER
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
            ManifestError: with everything that is wrong with it.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
            why = exc.strerror if isinstance(exc, OSError) else exc
            raise ManifestError(str(path), [f"cannot be read: {why}"]) from exc
        try:
            raw = decode_config(data)
        except ValueError as exc:
            raise ManifestError(str(path), [str(exc)]) from exc
        return cls.from_dict(raw, path)

    @classmethod
    def from_dict(cls, raw: Any, path: Path | None = None) -> ProjectManifest:
        """Check and convert decoded JSON. `project_name` is understood for `project`.

        Raises:
            ManifestError: with everything that is wrong with it.
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
        """The folder the manifest stands in; relative paths in it start here."""
        return self.path.parent if self.path else Path.cwd()

    def environment(self, env: str) -> EnvironmentConfig:
        """The settings of *env*, with ``${NAME}`` expanded.

        Raises:
            ManifestError: if the manifest lists environments and *env* is none of them, if a
                variable is not set, or if a value is wrong.
        """
        source = str(self.path or self.project)
        if self.environments and env not in self.environments:
            hint = (
                did_you_mean(str(env), self.environments)
                or f": it has {', '.join(self.environments)}"
            )
            raise ManifestError(source, [Problem("$.environments", f"unknown env {env!r}{hint}")])
        where = f"$.environments.{env}"
        raw, problems = expand_variables(self.environments.get(env, {}), where)
        config = None
        if not problems:
            config, problems = decode_struct(raw, EnvironmentConfig, where)
        if config is None or problems:
            raise ManifestError(source, problems)
        return config

    def select_layers(
        self, target_layers: Sequence[str] | None, where: str = "target_layers"
    ) -> tuple[str, ...]:
        """*target_layers* in the manifest's order, or all layers when it is None or empty.

        Args:
            target_layers: in any case and order.
            where: what a problem calls them.

        Raises:
            ManifestError: if a layer is unknown.
        """
        if not target_layers:
            return self.layer_order
        by_fold = {layer.casefold(): layer for layer in self.layer_order}
        problems = [
            Problem(
                where,
                f"unknown layer {layer!r}"
                + (
                    did_you_mean(layer, self.layer_order)
                    or f": layer_order is {', '.join(self.layer_order)}"
                ),
            )
            for layer in target_layers
            if layer.casefold() not in by_fold
        ]
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
    """*raw* with the framework's older forms in today's: `project_name`, environments as a list."""
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
                yield Problem(
                    f"$.{field}.{layer}", f"unknown layer {layer!r}{did_you_mean(layer, known)}"
                )
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


def _check_environments(manifest: ProjectManifest) -> Iterator[Problem]:
    if not manifest.project.strip():
        yield Problem("$.project", "is empty")
    if (
        manifest.default_env
        and manifest.environments
        and manifest.default_env not in manifest.environments
    ):
        yield Problem(
            "$.default_env",
            f"unknown env {manifest.default_env!r}{did_you_mean(manifest.default_env, manifest.environments)}",
        )
    for env, raw in manifest.environments.items():
        _, problems = decode_struct(raw, EnvironmentConfig, f"$.environments.{env}")
        yield from problems


def slug(project: str) -> str:
    """The seed's folder name for a project: lower-case, spaces as underscores."""
    return project.lower().replace(" ", "_")


def plain_slug(project: str) -> str:
    """A folder name for a project that any file system takes: only letters, digits, underscores."""
    return re.sub(r"[^a-z0-9]+", "_", project.lower()).strip("_")


def folder_name(project: str) -> str:
    """A folder name for a project in any script: its letters, marks and digits, with underscores between.

    "" if the name has none of them.
    """
    plain = unicodedata.normalize("NFC", project).lower()
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else "_" for c in plain)
    name = re.sub("_+", "_", kept).strip("_")
    short = name.encode()[:MAX_FOLDER_BYTES].decode(errors="ignore").strip("_")
    return f"{short}_" if short in _WINDOWS_NAMES else short


def manifest_paths(folders: Iterable[str] = (), start: Path | None = None) -> list[Path]:
    """Every ``*/manifest.json`` in the seed's folders and then in *folders*, seen from *start*."""
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
    """Read the manifest of *project*: at *manifest_path*, else where the seed looks for it.

    After the seed's ``<slug>/manifest.json``, a manifest in those folders (and in *folders*) that
    names the project is taken, whatever its own folder is called.

    Raises:
        ManifestError: if there is none or more than one, or the one at *manifest_path* is of another
            project.
    """
    if manifest_path is not None:
        manifest = ProjectManifest.from_json(manifest_path)
        if project and not _same(project, manifest.project):
            raise ManifestError(
                str(manifest_path),
                [Problem("$.project", f"is {manifest.project!r}, but {project!r} was asked for")],
            )
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
    if alike is None:
        return _by_name(project, folders, start)
    try:  # another one may have this very name
        return _by_name(project, folders, start)
    except ManifestError:
        return alike


def _by_name(project: str, folders: Sequence[str], start: Path) -> ProjectManifest:
    """The one manifest in those folders that names *project*."""
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
        raise ManifestError(
            f"project {project!r}", [f"several manifests name it: {paths}; give manifest_path"]
        )
    missing = Problem("", _not_found(project, others, folders, start))
    raise ManifestError(f"project {project!r}", [missing, *problems])


def _is_named(asked: str, found: str) -> bool:
    return bool(asked.strip()) and asked.casefold() == found.casefold()


def _same(asked: str, found: str) -> bool:
    """Return True if *asked* is the project *found*, or the name of its folder."""
    if not asked.strip():
        return False
    folders = {slug(found), plain_slug(found), folder_name(found)}
    return _is_named(asked, found) or asked in folders


def _is_folder_name(name: str) -> bool:
    return bool(name) and not set(name) & set("/\\\0") and name not in {".", ".."}


def _not_found(project: str, names: list[str], folders: Sequence[str], start: Path) -> str:
    looked = ", ".join(f"{folder}/*/manifest.json" for folder in (*SEED_FOLDERS, *folders))
    hint = did_you_mean(project, names) or (
        f"; there are {', '.join(map(repr, names))}" if names else ""
    )
    return f"no manifest found{hint}. Looked for {looked} from {start}; or give manifest_path"


def shown_path(path: Path | None) -> str:
    """The path as seen from here, where it is below."""
    if path is None:
        return "memory"
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
