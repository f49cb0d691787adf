"""``diff``: the differences between versions of tables. Writes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from odibi_nb.commands.opening import environment_name, open_in, open_manifest
from odibi_nb.commands.running import selected
from odibi_nb.comparing import What, compare
from odibi_nb.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from odibi_nb.commands.face import Face
    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.views.inspect.diff import Diff
    from odibi_nb.views.json_documents import DiffDocument

_MOST_ENVS = 2


def diff(arguments: argparse.Namespace, face: Face) -> Diff | DiffDocument:
    """Compare a table's versions, the tables that a run wrote, or two environments."""
    del face
    manifest = open_manifest(arguments)
    envs, words = _environments(arguments, manifest)
    projects = [open_in(manifest, env, engine=arguments.engine) for env in envs]
    what = What(
        words=tuple(words),
        keys=tuple(key.strip() for key in (arguments.keys or "").split(",") if key.strip()),
        select=tuple(selected(arguments)),
        exclude=tuple(arguments.exclude or ()),
    )
    try:
        found = compare(projects[0], what, *projects[1:])
    finally:
        for project in projects:
            project.close()
    return found.document() if arguments.json else replace(found, with_equal=arguments.all)


def _environments(
    arguments: argparse.Namespace, manifest: ProjectManifest
) -> tuple[list[str], Sequence[str]]:
    """Return the environments and the other words.

    ``--env`` takes one or two values, so words behind it that name no environment are tables or runs.

    Raises:
        ConfigurationError: if there are more than two environments, or the first is unknown.
    """
    given = [*(arguments.env or ())]
    if not given:
        arguments.env = None
        return [environment_name(arguments, manifest)], arguments.what
    names = [word for word in given if word in manifest.environments]
    words = [word for word in given if word not in manifest.environments]
    if given[0] in words:
        hint = did_you_mean(given[0], manifest.environments)
        listed = ", ".join(manifest.environments)
        raise ConfigurationError(
            "--env", [f"no environment {given[0]!r}{hint}; the manifest has {listed}"]
        )
    if len(names) > _MOST_ENVS or len(names) < len(given) - len(words):
        raise ConfigurationError("--env", ["expected one or two environments"])
    return names, [*arguments.what, *words]
