"""A report, opened from the disk."""

from __future__ import annotations

from browser.lab import new_page
from fakes import FakeProject, row

from odibi_nb.reporting import find_report, save_report


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
