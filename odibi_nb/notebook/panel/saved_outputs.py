"""The part of a panel that a saved notebook keeps: its last result or preview, folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.display import display

from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.run.bundles import EMPTY

if TYPE_CHECKING:
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan

_SMALL = "style='font-size:var(--jp-ui-font-size1,13px);margin-top:4px'"


class KeptOutputs:
    """Outputs below a panel, one for each display of the panel.

    They are separate outputs, because without a kernel JupyterLab cannot show the panel's widget.
    """

    def __init__(self) -> None:
        self._displays: list[Any] = []

    def show(self, plan: RunPlan | None, result: RunResult | None) -> None:
        """Display one more output in the running cell."""
        self._displays.append(display(kept_bundle(plan, result), raw=True, display_id=True))

    def update(self, plan: RunPlan | None, result: RunResult | None) -> None:
        """Update all outputs."""
        bundle = kept_bundle(plan, result) if self._displays else {}
        for shown in self._displays:
            shown.update(bundle, raw=True)


def kept_bundle(plan: RunPlan | None, result: RunResult | None) -> dict[str, Any]:
    """Return a bundle of the last result; without one, of the last preview; without either, an empty bundle."""
    if result is not None:
        title, html = result.summary().partition("\n")[0], result._repr_html_()
    elif plan is not None:
        title = f"plan of {plan.project} (env={plan.env}), {counted(len(plan.rows), 'row')}"
        html = plan._repr_html_()
    else:
        return EMPTY
    words = f"Kept in the notebook: {escape(title)}"
    fold = f"<details {_SMALL}><summary>{words}</summary>{html or ''}</details>"
    return {"text/html": fold, "text/plain": title}
