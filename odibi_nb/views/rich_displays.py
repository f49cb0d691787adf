"""Rich displays of results, plans and manifests. The first display imports the code that draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.model.results import RunResult
from odibi_nb.core.model.rich_display import register_displays
from odibi_nb.core.planning.plan import RunPlan
from odibi_nb.core.planning.stale_plan import ProjectStatus

if TYPE_CHECKING:
    from odibi_nb.views.run.bundles import Bundle


def register() -> None:
    """Register the displays of results, plans, manifests and freshness."""
    register_displays(
        {
            RunResult: _result,
            RunPlan: _plan,
            ProjectManifest: _manifest,
            ProjectStatus: _status,
        }
    )


def _result(result: RunResult) -> Bundle:
    if not result.run_id:
        return {}  # nothing ran: the text has the reason

    from odibi_nb.views.run.bundles import result_bundle

    return result_bundle(result)


def _plan(plan: RunPlan) -> Bundle:
    from odibi_nb.views.plan.plan_html import plan_html

    return {"text/html": plan_html(plan)}


def _status(status: ProjectStatus) -> Bundle:
    from odibi_nb.views.plan.status import status_html

    return {"text/html": status_html(status)}


def _manifest(manifest: ProjectManifest) -> Bundle:
    from odibi_nb.views.plan.manifest_html import manifest_html

    return {"text/html": manifest_html(manifest)}
