"""Execute notebooks in a real kernel: ``python notebooks/execute.py quickstart``.

Each is executed where it stands, by a kernel of this very Python, and left executed as
``notebooks/executed/NAME.ipynb`` and ``NAME.html``; the original stays as it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SECONDS_PER_CELL = 300


def execute(name: str, folder: Path = FOLDER) -> Path:
    """Execute ``folder/NAME.ipynb``. Return the path of the executed copy.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails. The copy is written before.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    executed = folder / "executed" / f"{name}.ipynb"
    executed.parent.mkdir(exist_ok=True)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=_announce,
    )
    try:
        client.execute()
    finally:
        nbformat.write(notebook, executed)
    _write_html(notebook, executed.with_suffix(".html"))
    return executed


def _announce(cell: Any, cell_index: int) -> None:
    """Print the first line of each code cell as it starts."""
    if cell["cell_type"] == "code" and cell["source"].strip():
        print(f"[{cell_index}] {cell['source'].splitlines()[0]}", flush=True)


def _write_html(notebook: Any, path: Path) -> None:
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(notebook)
    path.write_text(page, encoding="utf-8")


def main() -> int:
    """Execute the notebooks named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="a notebook here, without .ipynb")
    for name in parser.parse_args().names:
        executed = execute(name)
        page = executed.with_suffix(".html").resolve()
        print(f"\n{name} was executed. Look at it in a browser:\n  {page.as_uri()}")
        print("or run it yourself, cell by cell:")
        print(f"  {Path(sys.executable)} -m jupyter lab {FOLDER / (name + '.ipynb')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
