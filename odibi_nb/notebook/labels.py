"""Labels and tooltips of controls that work with both ipywidgets 7 and 8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.views.escaping import escape

if TYPE_CHECKING:
    from collections.abc import Callable


def labelled(widget: Any, label: str, tip: str, width: str = "300px") -> Any:
    """Give *widget* a label and a tooltip, and return it."""
    widget.style.description_width = "90px"
    widget.layout.width = width
    widget.layout.max_width = (
        "calc(100% - 4px)"  # a narrow page: no scrollbar for the margins' sake
    )
    if widget.has_trait("description_allow_html"):
        # ipywidgets 8 omits the tooltip of a control that has a label, so the label carries it.
        widget.description_allow_html = True
        widget.description = tip_html(label, tip)
    else:
        widget.description = label
    return explained(widget, tip)


def ticked_box(text: str, **keywords: Any) -> Any:
    """Return a ticked Checkbox whose description is *text*, including any special characters."""
    import ipywidgets as w

    box = w.Checkbox(True, **keywords)
    box.description = described(box, text)
    return box


def small_button(
    text: str, icon: str, tip: str, press: Callable[[], object], **keywords: Any
) -> Any:
    """Return a button as wide as its label, which calls *press*."""
    import ipywidgets as w

    layout = {"width": "max-content"}
    button = w.Button(description=text, icon=icon, tooltip=tip, layout=layout, **keywords)
    button.on_click(lambda _button: press())
    return button


def described(widget: Any, text: str) -> str:
    """Return the description with which *widget* shows *text*.

    ipywidgets 7 inserts descriptions into the page as HTML; ipywidgets 8 inserts them as text.
    """
    return text if widget.has_trait("description_allow_html") else escape(text)


def explained(widget: Any, tip: str) -> Any:
    """Give *widget* a tooltip, and return it."""
    setattr(widget, "tooltip" if widget.has_trait("tooltip") else "description_tooltip", tip)
    return widget


def tip_html(text: str, tip: str) -> str:
    """Return *text* as HTML with a tooltip of its own."""
    return f'<span title="{escape(tip)}">{escape(text)}</span>'
