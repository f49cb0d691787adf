"""Labels and tooltips of controls, which ipywidgets 7 and 8 keep under different names."""

from __future__ import annotations

from typing import Any


def labelled(widget: Any, label: str, tip: str, width: str = "300px") -> Any:
    """*widget*, with its label beside it and its tooltip."""
    widget.description = label
    widget.style.description_width = "90px"
    widget.layout.width = width
    return explained(widget, tip)


def explained(widget: Any, tip: str) -> Any:
    """*widget*, with its tooltip."""
    setattr(widget, "tooltip" if widget.has_trait("tooltip") else "description_tooltip", tip)
    return widget
