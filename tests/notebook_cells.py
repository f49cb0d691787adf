"""Cells in a real kernel, and their outputs."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient


def execute(folder, *cells):
    """Run the cells in a new kernel whose working directory is *folder*. Return their outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    return [cell["outputs"] for cell in notebook.cells]


def displayed(outputs, kind):
    """Return the displays of MIME type *kind*."""
    return [o["data"][kind] for o in outputs if kind in o.get("data", ())]


def printed(outputs):
    """Return the printed text."""
    return "".join(o["text"] for o in outputs if o["output_type"] == "stream")
