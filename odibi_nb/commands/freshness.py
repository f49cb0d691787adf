"""``status``: the rows whose outputs are up to date, and why the others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.commands.opening import opened
from odibi_nb.commands.running import selected
from odibi_nb.views.json_documents import status_document

if TYPE_CHECKING:
    import argparse

    from odibi_nb.commands.face import Face
    from odibi_nb.core.planning.stale_plan import ProjectStatus
    from odibi_nb.views.json_documents import StatusDocument


def status(arguments: argparse.Namespace, face: Face) -> ProjectStatus | StatusDocument:
    """Show the state of each row: fresh, stale or unknown, and why. Writes nothing."""
    del face
    with opened(arguments) as orchestrator:
        found = orchestrator.status(
            target_layers=arguments.layers,
            select=selected(arguments),
            exclude=arguments.exclude,
        )
    return status_document(found) if arguments.json else found
