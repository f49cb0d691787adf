"""A report, opened from the disk."""

from __future__ import annotations

from browser.lab import new_page
from fakes import FakeProject, row
from views.snapshots import many

from odibi_nb.reporting import find_report, save_report
from odibi_nb.views.report.report_html import report_html
from odibi_nb.views.report.run_report import RunReport
from odibi_nb.views.run.gantt import TOP, gantt_of


def broken():
    raise KeyError("<img src=x onerror=alert(1)>")


def test_a_report_opens_from_the_disk(browser, tmp_path):
    """Filters and sorting work, the page loads nothing else, and it is not wider than its window."""
    rows = [row(f"A{i}<img src=x>", broken if i == 3 else lambda: None) for i in range(12)]
    project = FakeProject(tmp_path / "p", rows)
    project.run(retry=0)
    out = save_report(find_report(project.orchestrator()), tmp_path / "report.html").path
    page = new_page(browser, (800, 900))
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(out.as_uri())
    assert page.locator(".odibi-log tbody:visible").count() == 12
    page.locator("header button[data-status=FAILED]").click()
    assert page.locator(".odibi-log tbody:visible").count() == 1
    page.locator("header button[data-status=FAILED]").click()
    page.get_by_label("Filter").fill("A7")
    assert page.locator(".odibi-log tbody:visible").count() == 1
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert (len(asked), page.wrong) == (1, [])
    page.close()


def test_each_of_many_bars_has_its_name(browser, tmp_path):
    """With hundreds of bars, the tooltip is the name of the bar below the mouse, and a click on a bar opens its row."""
    snapshot = many(400)
    report = RunReport(snapshot=snapshot, upstream={}, owner="")
    (tmp_path / "report.html").write_text(report_html(report), encoding="utf-8")
    page = new_page(browser, (1000, 900))
    page.goto((tmp_path / "report.html").as_uri())
    page.locator("svg[data-run]").first.scroll_into_view_if_needed()
    box, gantt = page.locator("svg[data-run]").first.bounding_box(), gantt_of(snapshot)
    bars = [bar for bar in gantt.segments if bar.line == gantt.labels.index("worker 1")]
    line = page.locator("svg[data-run] path", has_text=snapshot.rows[bars[0].row].id)
    assert line.text_content().split("\n") == [snapshot.rows[bar.row].id for bar in bars]
    for bar in (bars[2], bars[0], bars[9]):
        x = (bar.start + bar.end) / 2 / gantt.until * box["width"]
        y = TOP + (bar.line + 0.5) * gantt.row_height
        page.mouse.move(box["x"] + x, box["y"] + y)
        name = snapshot.rows[bar.row].id
        page.wait_for_selector(f"svg[data-run] path title >> text=/^{name}$/", state="attached")
        page.mouse.down()
        page.mouse.up()
        assert page.locator("tbody.hit td:nth-child(2)").first.inner_text() == name
        page.locator("svg[data-run]").first.scroll_into_view_if_needed()
        box = page.locator("svg[data-run]").first.bounding_box()
    assert page.wrong == []
    page.close()
