"""A click on a row or a bar of a run that goes on: it chooses whose log is shown.

The click fills in the control that people without a mouse use; where there is none, nothing happens.
"""

from __future__ import annotations

from odibi_nb.views.escaping import escape

CONTROL = "odibi-log-of"
"""The CSS class of the control, which has an ``<input>`` or a ``<select>``; the nearest one answers."""


def _handler(named: str) -> str:
    """The attribute of an element in which a click chooses the id that *named*, JavaScript, stands for."""
    script = (
        f"const id=({named})?.textContent.split('\\n')[0];"
        "for(let at=this;id&&at;at=at.parentElement){"
        f"const box=at.querySelector('.{CONTROL} :is(input,select)');"
        "if(box){box.value=id;box.dispatchEvent(new Event('change',{bubbles:true}));break}}"
    )
    return f'onclick="{escape(script)}"'


ROW = _handler("event.target.closest('tbody')?.rows[0].cells[1]")
BAR = _handler("event.target.closest('rect')?.querySelector('title')")
CLICKABLE = (
    "<style>.odibi-log[onclick] tr:first-child>td:nth-child(2),.odibi-layers rect{cursor:pointer}"
    ".odibi-log[onclick] tr:first-child>td:nth-child(2){text-decoration:underline dotted}</style>"
)
"""Says that a click does something; to stand where the control stands."""
