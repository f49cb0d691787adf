"""Rich displays of objects in notebooks.

Views draw the displays, but the core imports no views. So the notebook's code registers a display for
each class once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DISPLAYS: dict[type, Callable[[Any], dict[str, Any]]] = {}


def register_displays(displays: Mapping[type, Callable[[Any], dict[str, Any]]]) -> None:
    """Register a display for each class: a function from its object to a MIME bundle."""
    _DISPLAYS.update(displays)


class RichDisplay:
    """Base class of objects that a notebook shows with a registered display."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        del include, exclude  # IPython filters the returned bundle itself
        for cls in type(self).__mro__:
            if cls in _DISPLAYS:
                return _DISPLAYS[cls](self)
        return {}

    def _repr_html_(self) -> str | None:
        html: str | None = self._repr_mimebundle_().get("text/html")
        return html
