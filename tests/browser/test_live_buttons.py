"""A press on a button of a live run acts on that button, even if the view is drawn again below the pointer."""

from __future__ import annotations

import contextlib

import pytest
from browser.lab import PANEL
from browser.test_live import plant  # noqa: F401  a fixture

LOG = ".jp-OutputArea-output [role=group]"
IDS = f"{PANEL} .odibi-log td button:text-is('{{}}')"
PLACE = """e => {
  e.scrollIntoView({block: "center", behavior: "instant"});
  const box = e.getBoundingClientRect();
  return [box.x + Math.min(box.width / 2, 30), box.y + box.height / 2];
}"""
"""Scroll to an element and say where it is, at once: it may be replaced between two questions."""
IS_AT = "(e, [x, y]) => e.contains(document.elementFromPoint(x, y))"
FOCUSED = "() => document.activeElement.closest('tbody')?.rows[0].cells[1].textContent"


@pytest.fixture
def live(notebook, plant):  # noqa: F811
    """A notebook in which a run goes on: two rows run until `plant.go` is there, one has failed, one ended."""
    rows = [
        plant.row("QUIET"),
        plant.row("TALKS", "talks"),
        plant.row("BAD", "bad"),
        plant.row("DONE", "good"),
        plant.row("LATER", file=str(plant.folder / "later")),
    ]
    nb = notebook(*plant.cells(*rows, options="--ui widgets --workers 3"))
    nb.start()
    nb.page.get_by_label("Log of", exact=True).wait_for()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 of 5 done, 3 running, 1 failed")
    yield nb
    plant.go.touch()
    (plant.folder / "go-on").touch()
    (plant.folder / "later").touch()
    nb.finish()


@contextlib.contextmanager
def redrawn(page, element):
    """Wait at the end until *element* has been replaced."""
    handle = element.element_handle()
    yield
    page.wait_for_function("e => !e.isConnected", arg=handle)


@contextlib.contextmanager
def pressed(page, element):
    """Hold the mouse on *element* until it has been replaced, then let it go."""
    place = element.evaluate(PLACE)
    while not element.evaluate(IS_AT, place):  # the page still moves
        place = element.evaluate(PLACE)
    page.mouse.move(*place)
    with redrawn(page, element):
        page.mouse.down()
        yield
    page.mouse.up()


def test_a_press_is_not_lost_when_the_table_is_drawn_again(live):
    """A row's button that is replaced between the press and the release of the mouse shows that row's log."""
    page = live.page
    with pressed(page, page.locator(IDS.format("TALKS"))):
        pass
    page.wait_for_selector(f"{LOG}[aria-label='Log of TALKS'] >> text=step one <b>bold</b>")
    assert page.get_by_label("Log of", exact=True).input_value() == "TALKS"


def test_a_press_on_a_growing_bar_is_not_lost(live):
    """A running bar is replaced several times a second. A press on it shows the log of its row."""
    page = live.page
    bars = page.locator(f"{PANEL} .odibi-layers rect").filter(
        has=page.locator("title", has_text="TALKS")
    )
    with pressed(page, bars.last):
        pass
    page.wait_for_selector(f"{LOG}[aria-label='Log of TALKS']")


def test_a_count_pressed_while_it_changes_filters_its_rows(live, plant):  # noqa: F811
    """The filter is that of the count that was pressed, also of the rows that are drawn later."""
    page = live.page
    shown = page.locator(f"{PANEL} .odibi-log tbody:visible > tr:first-child > td:nth-child(2)")
    with pressed(page, page.get_by_role("button", name="1 failed")):
        (plant.folder / "later").touch()  # the counts change, and with them their element
    page.wait_for_function("() => document.querySelector('[data-odibi-only=FAILED]')")
    assert shown.all_inner_texts() == ["BAD"]
    page.get_by_role("button", name="1 failed").click()
    assert len(shown.all_inner_texts()) == 5


def test_the_pointer_that_leaves_presses_nothing(live):
    """A release far from the press does nothing, as with any button."""
    page = live.page
    with pressed(page, page.locator(IDS.format("TALKS"))):
        page.mouse.move(5, 5)
    page.wait_for_timeout(500)
    assert page.get_by_label("Log of", exact=True).input_value() == ""


def test_the_focus_stays_on_its_row(live, plant):  # noqa: F811
    """The focus survives each drawing, Enter and Space act on its row, and at the end it is on the same row."""
    page = live.page
    page.locator(IDS.format("TALKS")).focus()
    for _ in range(3):
        with redrawn(page, page.locator(IDS.format("TALKS"))):
            pass
        assert page.evaluate(FOCUSED) == "TALKS"
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{LOG}[aria-label='Log of TALKS']")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(FOCUSED) == "QUIET"
    with redrawn(page, page.locator(IDS.format("QUIET"))):
        page.keyboard.down(" ")
    page.keyboard.up(" ")
    page.wait_for_selector(f"{LOG}[aria-label='Log of QUIET']")
    page.keyboard.press("Tab")
    (plant.folder / "go-on").touch()
    (plant.folder / "later").touch()
    plant.go.touch()
    live.finish()
    page.wait_for_selector(f"{PANEL} .odibi-log.on")
    page.wait_for_function(f"() => ({FOCUSED})() == 'TALKS'")


def test_a_focus_that_moves_on_is_not_taken_back(live):
    """If the user moves the focus to a cell, the next drawing leaves it there."""
    page = live.page
    page.locator(IDS.format("TALKS")).focus()
    page.locator(f"{PANEL} .jp-Cell .cm-content").first.click()
    for _ in range(2):
        with redrawn(page, page.locator(IDS.format("TALKS"))):
            pass
    assert page.evaluate("() => !!document.activeElement.closest('.cm-editor')")


def test_copy_error_copies_the_error_of_its_row(live):
    """The button copies the error of its row, even if the row is drawn again during the press."""
    page = live.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    with pressed(page, page.get_by_role("button", name="Copy error")):
        pass
    page.wait_for_function(
        "() => navigator.clipboard.readText().then(text => text.startsWith('BAD failed in run'))"
    )


def test_cancel_after_other_buttons(live):
    """Cancel is heard after a log was opened and rows were filtered; both stay as they are."""
    page = live.page
    page.locator(IDS.format("TALKS")).click()
    page.get_by_role("button", name="1 failed").click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.wait_for_selector(".jp-OutputArea-output >> text=cancelling: 3 rows run to their end")
    assert page.locator("[data-odibi-only=FAILED]").count() == 1
    page.wait_for_selector(f"{LOG}[aria-label='Log of TALKS']")


def test_a_long_run_tells_its_end_where_one_wished(notebook, plant):  # noqa: F811
    """A run of over a minute offers a notification of the browser. Only after a click does the browser show one."""
    setup, run = plant.cells(plant.row("SLOW"))
    soon = "from odibi_nb.views.run import head\nhead.LONG_SECONDS = 0.5"
    nb = notebook(f"{setup}\n{soon}", run)
    page = nb.page
    page.context.grant_permissions(["notifications"])
    page.evaluate(
        "() => { window.told = []; window.Notification = class extends Notification {"
        "constructor(text) { super(text); window.told.push(text); } } }"
    )
    nb.start()
    page.get_by_role("button", name="Notify", exact=True).click()
    page.get_by_role("button", name="Will notify", exact=True).wait_for()
    plant.go.touch()
    nb.finish()
    page.wait_for_function("() => window.told.length")
    assert page.evaluate("() => window.told") == ["✔ Plant One"]
