"""Links to a line of a source file, which JupyterLab opens in its editor.

JupyterLab opens a relative link of an output beside its notebook, but ignores a line in it. So the link also
carries JupyterLab's command to go to the line. Other front ends show the text, with the path as tooltip.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from odibi_nb.views.escaping import escape

_AT_THE_LINE = (
    "const path=/\\/files\\/([^?#]*)/.exec(this.href);if(path){const given=JSON.parse(this.dataset.line);"
    "this.dataset.commandlinkerCommand='apputils:run-all-enabled';"
    "this.dataset.commandlinkerArgs=JSON.stringify({commands:['docmanager:open','fileeditor:go-to-line'],"
    "args:{path:decodeURIComponent(path[1]),line:given}})}"
)
"""A script that takes the path of the file on the server from the address that JupyterLab gave to the link."""


def source_href(file: Path) -> str:
    """Return the path of *file* from the notebook's folder as a URL; "" if no front end could open it.

    A file far from the notebook, more than three folders up, probably has no place on the Jupyter server.
    """
    name = os.environ.get("JPY_SESSION_NAME", "")
    notebook = Path(name)
    folder = notebook.parent if name and notebook.is_absolute() else Path.cwd()
    try:
        relative = os.path.relpath(file, folder)
    except ValueError:  # another drive
        return ""
    parts = Path(relative).parts
    far = parts[:4] == ("..",) * 4
    return "" if far or not file.is_absolute() else quote("/".join(parts))


def source_link(file: str, line: int, text: str) -> str:
    """Return *text* as a link to *line* of *file*, or with the path as its tooltip if no link is possible."""
    path = Path(file)
    tip = f"{file}:{line}" if file.isprintable() else ""
    href = source_href(path) if tip and path.suffix in {".py", ".sql"} else ""
    if not href:
        return f"<span title='{escape(tip)}'>{escape(text)}</span>"
    return (
        f"<a href='{escape(href)}' title='Open {escape(tip)}' data-line='{json.dumps(line)}' "
        f'onclick="{escape(_AT_THE_LINE)}">{escape(text)}</a>'
    )
