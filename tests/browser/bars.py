"""Point at the bar of a failed transformation in a Plotly figure, once the page is at rest."""

from __future__ import annotations

from playwright.sync_api import TimeoutError as NotInTime

PLOT = ".jp-RenderedPlotly.js-plotly-plot, .jp-RenderedPlotly .js-plotly-plot"
ACTIVATE = """selector => {
  const notebook = jupyterapp.shell.currentWidget.content, plot = document.querySelector(selector);
  notebook.activeCellIndex = notebook.widgets.findIndex(cell => cell.node.contains(plot));
  plot.scrollIntoView({block: "center", behavior: "instant"});
}"""
AT_REST = """selector => new Promise(resolve => {
  const plot = document.querySelector(selector);
  let before = "", same = 0;
  const look = () => {
    const box = JSON.stringify([plot.getBoundingClientRect(), plot._transitioning]);
    same = box === before ? same + 1 : 0;
    before = box;
    same < 10 ? requestAnimationFrame(look) : resolve(true);
  };
  look();
})"""
MIDDLE_OF_THE_FAILED_BAR = """selector => {
  const plot = document.querySelector(selector);
  const axes = plot._fullLayout, box = plot.getBoundingClientRect();
  const trace = plot.data.find(t => t.name.includes('failed'));
  return [box.x + axes.xaxis._offset + axes.xaxis.d2p(trace.base[0] + trace.x[0] / 2),
          box.y + axes.yaxis._offset + axes.yaxis.d2p(trace.y[0])];
}"""


def click_the_failed_bar(page):
    """Click it as a person does: the mouse is on it, and its tooltip is shown.

    JupyterLab makes the cell that is clicked the active one, and scrolls to it, between the press of the
    button and its release, for which Plotly looks again at what is below the mouse: so it must be active
    and at rest before.
    """
    page.wait_for_selector(".jp-RenderedPlotly .bars .point path", state="attached")
    page.evaluate(ACTIVATE, PLOT)
    page.evaluate(AT_REST, PLOT)
    page.mouse.move(0, 0)
    for step in range(20):  # Plotly looks at most each 50 ms, and only when the mouse moves
        # Asked again: a busy page may be at rest for ten frames, and then lay itself out once more.
        x, y = page.evaluate(MIDDLE_OF_THE_FAILED_BAR, PLOT)
        page.mouse.move(x, y + step % 2)
        try:
            page.wait_for_selector(
                ".jp-RenderedPlotly .hovertext >> text=FAILED", state="attached", timeout=1_000
            )
        except NotInTime:
            continue
        page.mouse.down()
        page.mouse.up()
        return
    raise AssertionError("no tooltip")
