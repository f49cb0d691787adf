"""Tab in JupyterLab."""

from __future__ import annotations

from real_project import make_project


def test_tab_completes_a_quoted_project(notebook, tmp_path):
    """Typed in a cell, `%odibi run "Pl` and Tab become the quoted name, and the cell runs."""
    make_project(tmp_path)
    nb = notebook(f"%cd -q {tmp_path}\n%load_ext odibi_nb", "")
    page = nb.page
    nb.start()
    nb.finish()
    cell = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell .cm-content").nth(1)
    cell.click()
    page.keyboard.type('r = %odibi run "Pl')
    page.keyboard.press("Tab")
    page.wait_for_selector(".jp-Completer-item.jp-mod-active >> text=Plant One")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .cm-line')]"
        ".some(line => line.textContent === 'r = %odibi run \"Plant One\"')"
    )
    page.keyboard.type(" --lay")
    page.keyboard.press("Tab")
    page.wait_for_selector(".jp-Completer-item.jp-mod-active >> text=--layers")
    page.keyboard.press("Enter")
    page.keyboard.type(" Bronze")
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".jp-OutputArea-output >> text=1 of 1 done")
