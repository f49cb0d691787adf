"""Links to a line of a source file, which JupyterLab opens in its editor.

JupyterLab opens a relative link in an output from the notebook's folder, but ignores a line number in the
link. So the link also calls a JupyterLab command that goes to the line. Other front ends show the text,
with the path as tooltip.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from odibi_nb.core.process.compute import is_databricks
from odibi_nb.views.escaping import escape

_AT_THE_LINE = (
    "const at=this,name=at.dataset.name;let left=100;const go=()=>{"
    "const tab=document.querySelector('#jp-main-dock-panel .jp-mod-current .lm-TabBar-tabLabel');"
    "const text=document.querySelector('.jp-Document:not(.lm-mod-hidden) .jp-FileEditor .cm-content');"
    "if(tab?.textContent!==name||!text?.textContent)return left-->0&&setTimeout(go,100);"
    "const step=document.createElement('i');step.dataset.commandlinkerCommand='fileeditor:go-to-line';"
    "step.dataset.commandlinkerArgs=at.dataset.args;at.after(step);step.click();step.remove()};"
    "if(at.closest('.jp-NotebookPanel'))setTimeout(go,100)"
)
"""A script that waits for the file that JupyterLab opens for the link, and goes to the line in it."""


def source_href(file: Path) -> str:
    """Return the path of *file* from the notebook's folder as a URL; "" if no front end could open it.

    A file far from the notebook, more than three folders up, probably has no place on the Jupyter server.
    """
    if is_databricks():  # its outputs are frames of another host: a relative link leads nowhere
        return ""
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
        f"<a href='{escape(href)}' title='Open {escape(tip)}' data-name='{escape(path.name)}' "
        f"data-args='{escape(json.dumps({'line': line}))}' "
        f'onclick="{escape(_AT_THE_LINE)}">{escape(text)}</a>'
    )
