"""Labels and tooltips of controls, in ways that reach the page with ipywidgets 7 and 8 alike."""

from __future__ import annotations

from typing import Any

from odibi_nb.views.escaping import escape


def labelled(widget: Any, label: str, tip: str, width: str = "300px") -> Any:
    """*widget*, with its label beside it and its tooltip."""
    widget.style.description_width = "90px"
    widget.layout.width = width
    if widget.has_trait("description_allow_html"):
        # ipywidgets 8 leaves out the tooltip of a control that has a label; so the label has it.
        widget.description_allow_html = True
        widget.description = tip_html(label, tip)
    else:
        widget.description = label
    return explained(widget, tip)


def ticked_box(text: str, **keywords: Any) -> Any:
    """Return a ticked Checkbox whose description is *text*, whatever signs are in it."""
    import ipywidgets as w

    box = w.Checkbox(True, **keywords)
    box.description = described(box, text)
    return box


def described(widget: Any, text: str) -> str:
    """Return the description of *widget* that shows *text*.

    ipywidgets 7 puts the descriptions of controls into the page as HTML; 8 puts them there as text.
    """
    return text if widget.has_trait("description_allow_html") else escape(text)


def explained(widget: Any, tip: str) -> Any:
    """*widget*, with its tooltip."""
    setattr(widget, "tooltip" if widget.has_trait("tooltip") else "description_tooltip", tip)
    return widget


def tip_html(text: str, tip: str) -> str:
    """*text* as HTML with a tooltip of its own."""
    return f'<span title="{escape(tip)}">{escape(text)}</span>'
