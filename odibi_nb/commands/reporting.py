"""``report``: a run as one file, for a colleague, a ticket or a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.commands.opening import opened
from odibi_nb.reporting import find_report, report_text, save_report

if TYPE_CHECKING:
    import argparse

    from odibi_nb.commands.face import Face
    from odibi_nb.reporting import WrittenReport


def report(arguments: argparse.Namespace, face: Face) -> WrittenReport | str:
    """Write the report of a run to a file, or return it for ``--out -``."""
    del face
    with opened(arguments) as orchestrator:
        found = find_report(orchestrator, arguments.run_id)
    if arguments.out == "-":
        return report_text(found, arguments.format)
    return save_report(found, arguments.out, arguments.format, force=arguments.force)
