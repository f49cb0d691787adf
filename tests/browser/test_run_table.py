"""The saved table of a run works without a kernel: it sorts, filters, and opens a row from its bar."""

from __future__ import annotations

import pytest
from browser.bars import click_the_failed_bar
from browser.controls import unusable
from browser.test_live import plant  # noqa: F401  a fixture
from nbconvert import HTMLExporter
from pages import without_our_script

TABLE = ".jp-OutputArea-output .odibi-log"


SHOW_AS_HTML = """
from IPython.display import HTML
from odibi_nb.views.run.bundles import result_bundle
HTML(result_bundle(r)["text/html"])"""


@pytest.fixture
def ended(notebook, plant):  # noqa: F811
    """A notebook in which a run of three rows has ended; one of them failed, with a script in its log."""
    plant.go.touch()
    rows = [plant.row("LONG"), plant.row("BAD<script>", "bad_late"), plant.row("ALSO", "good")]
    nb = notebook(*plant.cells(*rows, options="--workers 1"))
    nb.start()
    nb.finish()
    nb.page.wait_for_selector(f"{TABLE}.on")
    return nb


def ids(page, where=TABLE):
    """The transformations that the table shows, top to bottom."""
    rows = page.locator(f"{where} tbody:not([hidden]) > tr:first-child > td:nth-child(2)")
    return [text.strip() for text in rows.all_inner_texts()]


def test_a_row_unfolds_its_traceback_and_log(ended):
    """A row's button opens its output and its error, by mouse and keyboard. Scripts in them stay text."""
    page = ended.page
    opener = page.locator(f"{TABLE} td button[aria-expanded]")
    assert opener.all_inner_texts() == ["BAD<script>"]  # the others printed nothing
    assert opener.get_attribute("aria-expanded") == "false"
    opener.click()
    page.wait_for_selector(f"{TABLE} pre >> text=Traceback (most recent call last)")
    page.wait_for_selector(f"{TABLE} pre >> text=about to fail <script>")
    assert opener.get_attribute("aria-expanded") == "true"
    opener.press("Enter")
    page.wait_for_selector(f"{TABLE} pre", state="hidden")
    assert page.evaluate("() => window.hacked") is None


def test_all_lines_of_a_row_have_one_ground(ended):
    """Stripes distinguish rows: JupyterLab's own stripes, of lines, do not divide a failed row."""
    grounds = ended.page.evaluate(
        "where => [...document.querySelectorAll(where + ' tbody')].map(body => "
        "[...body.rows].map(line => getComputedStyle(line).backgroundColor))",
        TABLE,
    )
    failed, *others = grounds
    assert len(failed) > 1
    assert all(len(set(lines)) == 1 for lines in grounds)
    assert failed[0] != others[0][0]


def test_a_bar_of_the_plot_opens_its_row(ended):
    """A click on a bar of the Plotly figure in the output above unfolds and marks that row."""
    page = ended.page
    click_the_failed_bar(page)
    page.wait_for_selector(f"{TABLE} tbody.hit pre >> text=Traceback (most recent call last)")
    assert page.locator(f"{TABLE} tbody.hit").get_attribute("data-status") == "FAILED"


def test_the_texts_of_the_figure_have_the_themes_colours(ended):
    """Names, layers and times around the Plotly figure have JupyterLab's text colours, which each theme sets."""
    names, others, wanted = ended.page.evaluate(
        """() => {
          const colour = number => {
            const text = document.body.appendChild(document.createElement("p"));
            text.style.color = `var(--jp-ui-font-color${number})`;
            const found = getComputedStyle(text).color;
            text.remove();
            return found;
          };
          const fills = where => Object.fromEntries([...document.querySelectorAll(".jp-RenderedPlotly " + where)]
            .map(text => [text.textContent, getComputedStyle(text).fill]));
          return [fills(".ytick text"), fills(":is(.xtick text,.annotation-text)"), [colour(1), colour(2)]];
        }"""
    )
    assert names == dict.fromkeys(("ALSO", "BAD<script>", "LONG"), wanted[0])
    assert "Bronze" in others
    assert len(others) > 2
    assert {*others.values()} == {wanted[1]}


def test_the_table_sorts_and_filters(ended):
    """Headers sort, numbers as numbers, and show the direction. A box and a list filter, and show
    the number of rows left.
    """
    page = ended.page
    assert ids(page) == ["BAD<script>", "ALSO", "LONG"]  # what failed comes first
    head = page.get_by_role("button", name="transformation")
    head.click()
    assert ids(page) == ["ALSO", "BAD<script>", "LONG"]
    column = page.locator(f"{TABLE} th", has_text="transformation")
    assert column.get_attribute("aria-sort") == "ascending"
    head.press("Enter")
    assert ids(page) == ["LONG", "BAD<script>", "ALSO"]
    assert column.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="seconds").click()
    seconds = page.locator(f"{TABLE} tbody > tr:first-child > td:nth-child(3)").all_inner_texts()
    assert seconds == sorted(seconds, key=float)
    assert column.get_attribute("aria-sort") is None
    page.get_by_label("Filter", exact=True).fill("about to")
    assert ids(page) == ["BAD<script>"]
    page.wait_for_selector(f"{TABLE} [role=status] >> text=1 of 3 rows")
    page.get_by_label("Filter", exact=True).fill("")
    page.get_by_label("Status all").select_option("SUCCESS")
    assert sorted(ids(page)) == ["ALSO", "LONG"]
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    saved = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert saved[0].startswith('"status","transformation","seconds","rows"')
    assert sorted(line.split(",")[1] for line in saved[1:]) == ['"ALSO"', '"LONG"']


def test_dollar_signs_stay_text(notebook, plant):  # noqa: F811
    """Text between dollar signs in a run's table, chart and head is no formula, as it is elsewhere in a notebook."""
    plant.go.touch()
    first, run = plant.cells(plant.row("FROM_$5$_TO_$6$"))
    nb = notebook(first, run, "from IPython.display import HTML\nHTML('<i>$x$</i>')")
    nb.start()
    nb.finish()
    nb.page.wait_for_selector("i mjx-container", state="attached")
    assert nb.page.locator("mjx-container").count() == 1
    assert ids(nb.page) == ["FROM_$5$_TO_$6$"]


def test_every_control_has_a_label_and_a_tooltip(ended):
    """Each control has a description, also for people who cannot see it."""
    assert ended.page.locator(f"{TABLE} button").count() > len("status")
    assert unusable(ended.page) == []


def page_of(page, *notebooks):
    """The notebooks as nbconvert's HTML, in an isolated page of their own."""
    other = page.context.browser.new_page()
    other.route("**/*", lambda route: route.abort())
    other.wrong = []
    other.on("pageerror", lambda error: other.wrong.append(str(error)))
    bodies = [HTMLExporter(template_name="basic").from_notebook_node(nb)[0] for nb in notebooks]
    other.set_content("<!doctype html><body>")
    before = other.evaluate("() => Object.keys(window)")
    other.set_content(f"<!doctype html><body>{''.join(bodies)}</body>")
    assert (
        other.evaluate("before => Object.keys(window).filter(k => !before.includes(k))", before)
        == []
    )
    return other


def test_converted_to_html_the_picture_opens_rows(ended):
    """In nbconvert's HTML, a click on a bar or name of the SVG opens that row in the nearest table."""
    saved = ended.save()
    for output in (o for cell in saved.cells for o in cell.get("outputs", ())):
        output.get("data", {}).pop("application/vnd.plotly.v1+json", None)
        output.get("data", {}).pop("image/png", None)
    page = page_of(ended.page, saved, saved)
    tables = page.locator(".odibi-log")
    assert tables.count() == 2
    page.locator("svg[data-run]").nth(1).get_by_text("BAD<script>", exact=True).click()
    page.wait_for_selector(".odibi-log >> nth=1 >> tbody.hit pre >> text=Traceback")
    assert tables.nth(0).locator(".hit").count() == 0
    page.locator("svg[data-run]").nth(0).locator("rect title").filter(has_text="LONG").locator(
        ".."
    ).last.click()
    assert tables.nth(0).locator(".hit td:nth-child(2)").first.inner_text() == "LONG"
    assert page.wrong == []
    page.close()


def test_without_scripts_the_table_is_complete(ended):
    """If a front end removes scripts, all rows are shown, and their output unfolds without a script."""
    saved = ended.save()
    html = "".join(o["data"]["text/html"] for o in saved.cells[1]["outputs"] if "data" in o)
    page = ended.page.context.browser.new_page()
    page.set_content(f"<!doctype html><body>{without_our_script(html)}</body>")
    assert ids(page, ".odibi-log") == ["BAD<script>", "ALSO", "LONG"]
    assert page.locator(".odibi-log button:visible").count() == 0
    page.locator("details summary").click()
    page.wait_for_selector("pre >> text=Traceback")
    page.close()


def test_a_result_shown_later_is_the_same(notebook, plant):  # noqa: F811
    """In another cell, the result shows picture and table again, with the same details."""
    plant.go.touch()
    first, run = plant.cells(plant.row("BAD", "bad"))
    nb = notebook(first, run, "r")
    nb.start()
    nb.finish()
    tables = nb.page.locator(f"{TABLE}.on")
    tables.nth(1).locator("td button[aria-expanded]").click()
    nb.page.wait_for_selector(f"{TABLE} >> nth=1 >> pre >> text=Traceback")
    assert tables.nth(0).locator("details[open]").count() == 0
    one, two = (
        [o["data"]["text/html"] for o in cell["outputs"] if "data" in o]
        for cell in nb.save().cells[1:]
    )
    assert one[2] == two[2]


def test_without_plotly_the_chart_is_shown_once(notebook, plant):  # noqa: F811
    """A page that shows the drawing hides the image that the saved chart has for other pages."""
    plant.go.touch()
    nb = notebook(*plant.cells(plant.row("ONE")), SHOW_AS_HTML)
    nb.start()
    nb.finish()
    last = nb.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").last
    last.locator("svg[role=img]").wait_for()
    assert last.locator("img.odibi-image").count() == 1
    assert last.locator("img:visible").count() == 0
