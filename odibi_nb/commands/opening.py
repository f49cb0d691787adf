"""From a command's arguments to a project."""

from __future__ import annotations

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
    """Every manifest found from here, and what is wrong with the others."""
    manifests, errors = [], []
    for path in manifest_paths(load_settings().project_dirs()):
        try:
            manifests.append(ProjectManifest.from_json(path))
        except ManifestError as exc:
            errors.append(exc)
    return manifests, errors


def project_name(arguments: argparse.Namespace) -> str:
    """The project that is meant: named, set, or the only one there is.

    Raises:
        ConfigurationError: if that is not clear.
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
    available = f"there are {', '.join(map(repr, names))}" if names else "none found from here"
    raise ConfigurationError("PROJECT", [f"say which project: {available}"])


def open_manifest(arguments: argparse.Namespace) -> ProjectManifest:
    """The manifest of the project that is meant."""
    folders = load_settings().project_dirs()
    return find_manifest(project_name(arguments), arguments.manifest, folders)


def environment_name(arguments: argparse.Namespace, manifest: ProjectManifest) -> str:
    """The environment that is meant."""
    return str(environment_setting(arguments, manifest).value)


def environment_setting(arguments: argparse.Namespace, manifest: ProjectManifest) -> Setting:
    """The environment that is meant: argument, setting, the manifest's default, or ``qat``."""
    return load_settings().resolve("env", arguments.env, manifest.default_env, DEFAULT_ENV)


def open_project(arguments: argparse.Namespace, **keywords: Any) -> GenericProjectOrchestrator:
    """The project that is meant, in the environment that is meant."""
    manifest = open_manifest(arguments)
    env = environment_name(arguments, manifest)
    engine = getattr(arguments, "engine", None)
    return GenericProjectOrchestrator(
        manifest.project, env, manifest_path=manifest.path, engine=engine, **keywords
    )


def confirmation(
    orchestrator: GenericProjectOrchestrator, face: Face, *, yes: bool, action: str
) -> str | bool:
    """What confirms *action* on a protected environment: ``--yes``, or the typed project name.

    Raises:
        ConfigurationError: if it was not confirmed.
    """
    if yes or not orchestrator.config.protected:
        return yes or orchestrator.project
    return confirmed(orchestrator.project, orchestrator.env, face, action)


def confirmed(project: str, env: str, face: Face, action: str, why: str = "is protected") -> str:
    """Ask for the name of *project*, whose *env* needs a confirmation; return what was typed.

    Raises:
        ConfigurationError: if something else was typed, or nobody can be asked.
    """
    where = f"env {env!r} of {project!r}"
    if face.ask is None:
        raise ConfigurationError(where, [f"{why}: {action} it with --yes"])
    typed = face.ask(f"{where} {why}. Type the project's name to {action} it: ").strip()
    if typed != project:
        raise ConfigurationError(where, [f"not confirmed: expected {project!r}, found {typed!r}"])
    return typed
