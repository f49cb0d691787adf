"""Cells in a real kernel, and their outputs."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient


def execute(folder, *cells, failing=()):
    """Run the cells in a new kernel whose working directory is *folder*. Return their outputs.

    *failing* are the numbers, from 0, of the cells that may end in an error.
    """
    tags = {"tags": ["raises-exception"]}
    made = [
        nbformat.v4.new_code_cell(code, metadata=tags if i in failing else {})
        for i, code in enumerate(cells)
    ]
    notebook = nbformat.v4.new_notebook(cells=made)
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
