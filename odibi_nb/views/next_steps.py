"""Next steps as buttons that put a command into a cell, or as text where no button works.

JupyterLab runs its own commands for elements with ``data-commandlinker`` attributes, so that a button needs
no kernel and no script. Other front ends, untrusted and exported notebooks show the command's text instead.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from odibi_nb.views.escaping import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAB = ".jp-NotebookPanel .odibi-do"
HIDDEN = "hidden style=display:none"
"""The attributes of a button or fold that only `STYLE` shows. JupyterLab takes the first one out of untrusted notebooks."""
STYLE = (
    f"<style>.odibi-do{{margin:2px 0}}{_LAB} button[hidden],{_LAB} details[hidden]{{display:inline-block!important}}{_LAB} :is(button,details)~span{{display:none}}"
    ".odibi-do.odibi-do.odibi-do :is(button,summary){font:inherit;color:var(--jp-ui-font-color1,inherit);cursor:pointer;"
    "background:var(--jp-layout-color2,transparent);border:1px solid var(--jp-border-color0,rgba(128,128,128,.6));"
    "border-radius:3px;padding:1px 8px;margin:1px 6px 1px 0;text-decoration:none}"
    ".odibi-do.odibi-do.odibi-do button:disabled{opacity:.6;cursor:default}"
    ".odibi-do :is(button,summary):focus-visible{outline:2px solid var(--jp-brand-color1,Highlight);outline-offset:1px}"
    f"{_LAB} details{{vertical-align:top}}{_LAB} details p{{margin:4px 0}}{_LAB} summary{{width:max-content;box-sizing:border-box}}</style>"
)
"""The style of buttons. Without it, as in an untrusted notebook, they stay hidden and their text is shown."""


def command(*words: str, project: str, env: str) -> str:
    """Return a ``%odibi`` line with the project and environment; "" if a name would break the line.

    Names come from registry rows: a line break in a name would begin another command, a magic
    evaluates names in braces or behind a dollar sign, and a name that begins with a dash is an option.
    """
    if any(name.startswith("-") or set(name) & set("{}$") for name in (project, env, *words[1:])):
        return ""
    line = shlex.join(["%odibi", *words, "--project", project, "--env", env])
    line = line.replace("'%odibi'", "%odibi", 1)
    return line if line.isprintable() else ""


def cell_button(label: str, tip: str, source: str, *, run: bool) -> str:
    """Return a button that puts *source* into a new cell below. If *run*, it runs the cell, too."""
    steps = ["notebook:insert-cell-below", "notebook:replace-selection"]
    steps += ["notebook:run-cell"] if run else []
    arguments = json.dumps({"commands": steps, "args": {"text": source}})
    return (
        f"<button type=button {HIDDEN} title='{escape(tip)}' data-commandlinker-command='apputils:run-all-enabled' "
        f"data-commandlinker-args='{escape(arguments)}'>{escape(label)}</button>"
    )


def steps_html(buttons: Sequence[str], commands: Sequence[str], details: str = "") -> str:
    """Return *buttons* and folded *details* in a line, and the *commands* as text for front ends without such buttons."""
    texts = " · ".join(f"<code>{escape(text)}</code>" for text in commands if text)
    return f"<div class=odibi-do>{''.join(buttons)}<span>{texts}</span>{details}</div>"
