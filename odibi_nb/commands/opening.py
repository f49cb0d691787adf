"""Open the project that a command's arguments name."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from odibi_nb.api import GenericProjectOrchestrator
from odibi_nb.core.model.manifest import ProjectManifest, find_manifest, manifest_paths
from odibi_nb.errors import ConfigurationError, ManifestError
from odibi_nb.settings import Setting, load_settings

if TYPE_CHECKING:
    import argparse

    from odibi_nb.commands.face import Face

DEFAULT_ENV = "qat"


def found_manifests() -> tuple[list[ProjectManifest], list[ManifestError]]:
    """Return every manifest found from here, and the errors of manifests that cannot be read."""
    manifests, errors = [], []
    for path in manifest_paths(load_settings().project_dirs()):
        try:
            manifests.append(ProjectManifest.from_json(path))
        except ManifestError as exc:
            errors.append(exc)
    return manifests, errors


def project_name(arguments: argparse.Namespace) -> str:
    """Return the project of the arguments, else of the settings, else the only one found from here.

    The name is "" if the arguments give only a manifest.

    Raises:
        ConfigurationError: if no project or more than one is found.
    """
    named = arguments.project or load_settings().get("project")
    if named or arguments.manifest:
        return named or ""
    manifests, errors = found_manifests()
    names = list(dict.fromkeys(manifest.project for manifest in manifests))
    if len(names) == 1:
        return names[0]
    if not names and errors:
        raise errors[0]
    found = f"found {', '.join(map(repr, names))}" if names else "none found from here"
    raise ConfigurationError("PROJECT", [f"name a project: {found}"])


def open_manifest(arguments: argparse.Namespace) -> ProjectManifest:
    """Return the manifest of the requested project."""
    folders = load_settings().project_dirs()
    return find_manifest(project_name(arguments), arguments.manifest, folders)


def environment_name(arguments: argparse.Namespace, manifest: ProjectManifest) -> str:
    """Return the name of the requested environment."""
    return str(environment_setting(arguments, manifest).value)


def environment_setting(arguments: argparse.Namespace, manifest: ProjectManifest) -> Setting:
    """Resolve the environment: argument, setting, the manifest's default, or ``qat``."""
    return load_settings().resolve("env", arguments.env, manifest.default_env, DEFAULT_ENV)


def open_project(arguments: argparse.Namespace, **keywords: Any) -> GenericProjectOrchestrator:
    """Open the requested project in the requested environment, as `open_in` does."""
    manifest = open_manifest(arguments)
    env = environment_name(arguments, manifest)
    engine = getattr(arguments, "engine", None)
    if (state_dir := getattr(arguments, "state_dir", None)) is not None:
        keywords["state_dir"] = state_dir
    return open_in(manifest, env, engine=engine, **keywords)


def opened(arguments: argparse.Namespace) -> closing[GenericProjectOrchestrator]:
    """Open the requested project for a ``with`` block, which closes it."""
    return closing(open_project(arguments))


def open_in(
    manifest: ProjectManifest, env: str, *, log_level: str = "ERROR", **keywords: Any
) -> GenericProjectOrchestrator:
    """Open the project of *manifest* in *env*, by default with a console that shows only errors."""
    return GenericProjectOrchestrator(
        manifest.project, env, manifest_path=manifest.path, log_level=log_level, **keywords
    )


def confirmation(
    orchestrator: GenericProjectOrchestrator, face: Face, *, yes: bool, action: str
) -> str | bool:
    """Return the confirmation of *action*: True for ``--yes``, else the project's name.

    In a protected environment the person must type the name.

    Raises:
        ConfigurationError: if the person does not confirm, or no person can answer.
    """
    if yes or not orchestrator.config.protected:
        return yes or orchestrator.project
    return confirmed(orchestrator.project, orchestrator.env, face, action)


def confirmed(project: str, env: str, face: Face, action: str, why: str = "is protected") -> str:
    """Ask the person to confirm *action* with the name of *project*, and return the typed name.

    Raises:
        ConfigurationError: if the typed name is another one, or no person can answer.
    """
    where = f"env {env!r} of {project!r}"
    if face.ask is None:
        raise ConfigurationError(where, [f"{why}: {action} it with --yes"])
    typed = face.ask(f"{where} {why}. Type the project's name to {action} it: ").strip()
    if typed != project:
        raise ConfigurationError(where, [f"not confirmed: expected {project!r}, found {typed!r}"])
    return typed
