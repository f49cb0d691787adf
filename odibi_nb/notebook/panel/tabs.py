"""A panel's tabs: Preview, Gantt, Run log, Log, Result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.notebook.environment import WIDGETS
from odibi_nb.notebook.live.reserved_displays import STARTING, PlacedView
from odibi_nb.notebook.panel.labels import labelled
from odibi_nb.views.notices import note_html
from odibi_nb.views.run.bundles import PLOTLY
from odibi_nb.views.run.click_for_log import CONTROL
from odibi_nb.views.run.console_lines import ConsoleLines
from odibi_nb.views.run.run_page import summary_parts
from odibi_nb.views.status_style import LOOKS, RUN_LOOKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from odibi_nb.core.model.events import RunEvent
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.notebook.live.background import BackgroundRun
    from odibi_nb.notebook.live.displays import HtmlRung
    from odibi_nb.views.run.state import RunSnapshot

TITLES = ("Preview", "Gantt", "Run log", "Log", "Result")
PREVIEW, GANTT, RUN_LOG, LOG, RESULT = range(len(TITLES))
MAX_FILTERS = 1_000
"""At most so many transformations can be chosen among to see their lines alone."""
EVERYTHING = "everything"


class PanelTabs:
    """The tabs; each is filled from whichever thread knows what stands in it."""

    def __init__(self) -> None:
        import ipywidgets as w

        self.preview = w.HTML(note_html("Preview shows what would run, and changes nothing."))
        nothing = "Nothing has run yet."
        self.summary = w.VBox([])
        self.gantt, self.table = (w.VBox([w.HTML(note_html(nothing))]) for _ in range(2))
        self.filter = labelled(
            w.Dropdown(options=[(EVERYTHING, "")]),
            "Lines of",
            "Show what one transformation printed and logged",
            "400px",
        )
        self.filter.add_class(CONTROL)
        self.log = w.HTML(note_html(nothing))
        self.result = w.HTML(note_html(nothing))
        children = [
            self.preview,
            w.VBox([self.summary, self.gantt]),
            self.table,
            w.VBox([self.filter, self.log]),
            self.result,
        ]
        self.widget = w.Tab(children)
        for number, title in enumerate(TITLES):
            self.widget.set_title(number, title)
        self.lines = ConsoleLines()
        self._painted: tuple[int, str] | None = None
        self.filter.observe(self._on_filter, names="value")
        self.widget.observe(lambda _change: self.paint_log(), names="selected_index")

    def open(self, number: int) -> None:
        """Bring a tab to the front."""
        self.widget.selected_index = number

    def start(self) -> None:
        """Another run is about to begin: what an earlier one left goes away."""
        self.lines.clear()
        self.nothing(STARTING)
        self.paint_log()

    def nothing(self, why: str) -> None:
        """There is nothing to show of a run, because of *why*."""
        import ipywidgets as w

        refill(self.summary)
        for box in (self.gantt, self.table):
            refill(box, w.HTML(note_html(why)))
        self.result.value = note_html(why)

    def begin(self, plan: RunPlan) -> None:
        """A run of *plan* begins: its lines can be told apart by its transformations."""
        names = list(plan.rows)[:MAX_FILTERS]
        self.filter.options = [(EVERYTHING, ""), *((name, name) for name in names)]

    def _on_filter(self, change: Any) -> None:
        """Show the lines; also where a click on a row or a bar has asked for them."""
        if change["new"]:
            self.open(LOG)
        self.paint_log()

    def paint_log(self) -> None:
        """Show the lines, if the tab is open and they are others than before."""
        now = self.lines.version, self.filter.value or ""
        if self.widget.selected_index == LOG and now != self._painted:
            self._painted = now
            self.log.value = self.lines.html(now[1])


class PanelView(PlacedView):
    """Shows a run in a panel's tabs.

    Args:
        tabs: where.
        say: shows one line about how the run stands.
        watched: called when the run was asked to end, or is over.
    """

    def __init__(
        self, tabs: PanelTabs, say: Callable[[str], None], watched: Callable[[], None]
    ) -> None:
        boxes = (tabs.summary, tabs.gantt, tabs.table)
        # No pane for logs either: a click on a row or a bar opens the tab that shows them.
        # No Plotly: its figures fail in a tab that is not in front, whenever the page is resized.
        super().__init__(lambda _rows: WIDGETS, [BoxOutput(box) for box in boxes], boxes)
        self._tabs = tabs
        self._say = say
        self._watched = watched
        self._rungs = {name: _beside(make, self._paint_more) for name, make in self._rungs.items()}

    def watch(self, run: BackgroundRun) -> None:
        """Let the panel's buttons follow *run*."""
        del run
        self._watched()

    def on_plan(self, plan: RunPlan) -> None:
        """Make room for the run."""
        self._tabs.begin(plan)
        self._tabs.lines.on_plan(plan)
        super().on_plan(plan)

    def on_event(self, event: RunEvent) -> None:
        """Take the event into account, and its line."""
        self._tabs.lines.on_event(event)
        super().on_event(event)

    def on_output(self, transformation_id: str, line: str) -> None:
        """Keep what a transformation printed."""
        self._tabs.lines.on_output(transformation_id, line)

    def on_message(self, level: str, text: str) -> None:
        """Keep what the run said."""
        super().on_message(level, text)
        self._tabs.lines.on_message(level, text)

    def _paint_more(self, snapshot: RunSnapshot) -> None:
        self._tabs.paint_log()
        self._say(standing_text(snapshot))


class BoxOutput:
    """A place in a widget that takes MIME bundles as a cell's output does, and shows them alike."""

    def __init__(self, box: Any) -> None:
        self._box = box

    def update(self, bundle: dict[str, Any], *, raw: bool) -> None:
        """Show *bundle* instead of what is there, which is gone for good."""
        import ipywidgets as w

        assert raw
        data = {kind: content for kind, content in bundle.items() if kind != PLOTLY}
        output = {"output_type": "display_data", "data": data, "metadata": {}}
        refill(self._box, w.Output(outputs=(output,)))


class _Beside:
    """A rung, and something else that is painted whenever it is."""

    def __init__(self, rung: HtmlRung, more: Callable[[RunSnapshot], None]) -> None:
        self._rung = rung
        self._more = more

    def show(self, snapshot: RunSnapshot) -> None:
        self._rung.show(snapshot)
        self._more(snapshot)

    def paint(self, snapshot: RunSnapshot) -> None:
        self._rung.paint(snapshot)
        self._more(snapshot)

    def end(self, snapshot: RunSnapshot, result: RunResult | None = None) -> None:
        self._rung.end(snapshot, result)
        self._more(snapshot)


def _beside(make: Callable[[], HtmlRung], more: Callable[[RunSnapshot], None]) -> Any:
    return lambda: _Beside(make(), more)


def refill(box: Any, *children: Any) -> None:
    """Show *children* in *box* instead of what is there, which is gone for good."""
    before, box.children = box.children, children
    close_all(before)


def close_all(widgets: Iterable[Any]) -> None:
    """End *widgets* and what is in them: they are not shown any more."""
    for widget in widgets:
        close_all(getattr(widget, "children", ()))
        widget.close()


def standing_text(snapshot: RunSnapshot) -> str:
    """How a run stands, without what changes all the time: it is read out."""
    sign = RUN_LOOKS.get(snapshot.status, LOOKS["RUNNING"]).sign
    project, env, *rest = summary_parts(snapshot)[:-1]
    return " · ".join([f"{sign} {snapshot.status}", project, env, *rest])
