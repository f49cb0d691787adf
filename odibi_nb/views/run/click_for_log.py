"""Show a row's log after a click on the row or its bar, during a run.

The click sets the value of the control for people without a mouse. Without such a control, the click does
nothing.
"""

from __future__ import annotations

from odibi_nb.views.escaping import escape

CONTROL = "odibi-log-of"
"""The CSS class of the control, which has an ``<input>`` or a ``<select>``. A click uses the nearest one."""


def _handler(named: str) -> str:
    """Return an onclick attribute that selects the id from *named*, a JavaScript expression for an element."""
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
"""A style that marks rows and bars as clickable, for pages that have the control."""
