"""A stand-in for Databricks' notebook: its rule for updates, and its context of notebook or job.

Databricks' documents say that `update_display` changes outputs of the cell that runs, and no other ones, and that
a page does not keep the state of widgets. So an output holds what the last update in its own cell left, and a
widget is nothing once its kernel is gone.
"""

from __future__ import annotations

import os

import nbformat
from nbclient import NotebookClient

WIDGET = "application/vnd.jupyter.widget-view+json"
_CONTEXT = """
import sys as _sys, types as _types
_context = _types.ModuleType("dbruntime.databricks_repl_context")
_context.get_context = lambda: _types.SimpleNamespace(**{facts!r})
_sys.modules["dbruntime"] = _types.ModuleType("dbruntime")
_sys.modules[_context.__name__] = _context
"""


class FrontEnd(NotebookClient):
    """Runs cells under the rule; `ignored` counts the updates that Databricks would not apply."""

    ignored = 0
    answers = True
    """Whether a person can answer a question of a cell."""

    async def async_execute_cell(self, *arguments, **keywords):
        """Run a cell, with the front end's word on questions."""
        self.kc.allow_stdin = self.answers
        return await super().async_execute_cell(*arguments, **keywords)

    def process_message(self, msg, cell, cell_index):
        """Apply an update to the outputs of *cell* alone."""
        if msg["msg_type"] != "update_display_data":
            return super().process_message(msg, cell, cell_index)
        name = msg["content"]["transient"]["display_id"]
        places = self._display_id_map.get(name, {})
        here = {cell_index: places[cell_index]} if cell_index in places else {}
        self.ignored += len(places) - len(here) or not places
        self._display_id_map[name] = here
        try:
            return super().process_message(msg, cell, cell_index)
        finally:
            self._display_id_map[name] = places


def run_cells(folder, *cells, job=False, serverless=False):
    """Run the cells in a new kernel on the stand-in; return the outputs of each, and the ignored updates."""
    facts = {
        "isInJob": job,
        "jobId": "7" if job else None,
        "notebookPath": "/Users/me@plant.com/notebook",
        "user": "me@plant.com",
    }
    sources = (_CONTEXT.format(facts=facts), *cells)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in sources])
    client = FrontEnd(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": folder}},
        store_widget_state=False,
    )
    client.answers = not job
    version = "client.5.2" if serverless else "18.0"
    client.execute(env={**os.environ, "DATABRICKS_RUNTIME_VERSION": version})
    return [cell["outputs"] for cell in notebook.cells[1:]], client.ignored


def kept(outputs):
    """Return the texts that a page shows later: HTML, or plain text, of outputs that are no widget."""
    found = []
    for output in outputs:
        data = output.get("data", {})
        if WIDGET not in data:
            found += [data.get("text/html") or data.get("text/plain") or output.get("text", "")]
    return found
