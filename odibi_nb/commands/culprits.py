"""``why`` and ``bisect``: what broke a transformation. Both write nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.commands.opening import opened
from odibi_nb.core.rehearsal import bisection
from odibi_nb.core.rehearsal.causes import causes_of
from odibi_nb.views.inspect.bisection import BisectionView
from odibi_nb.views.inspect.causes import CausesView
from odibi_nb.wiring import make_frame

if TYPE_CHECKING:
    import argparse

    from odibi_nb.commands.face import Face
    from odibi_nb.views.json_documents import WhyDocument


def why(arguments: argparse.Namespace, face: Face) -> CausesView | WhyDocument:
    """Compare a transformation's last success with its failure, or two runs."""
    with opened(arguments) as orchestrator:
        found = causes_of(orchestrator, arguments.id, arguments.run or ())
    view = CausesView(found, make_frame, face.spell(["bisect", arguments.id]))
    return view.document() if arguments.json else view


def bisect(arguments: argparse.Namespace, face: Face) -> BisectionView:
    """Replay a transformation on versions of its inputs until the commit that broke it is found."""
    with opened(arguments) as orchestrator:
        return BisectionView(bisection.bisect(orchestrator, arguments.id, face.say), make_frame)
