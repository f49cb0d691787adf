"""A panel's list of transformations: a search box, the list, and the number of chosen ones."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.notebook.labels import labelled, small_button
from odibi_nb.views.notices import note_html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_LISTED = 200
"""Maximum number of transformations in the list. A search finds the others."""
NOT_LISTED = "Preview lists them"


class Listed(NamedTuple):
    """A transformation in the list."""

    id: str
    layer: str
    enabled: bool = True

    @property
    def label(self) -> str:
        """The text in the list."""
        return f"{self.id}  ·  {self.layer}" + ("" if self.enabled else "  (disabled)")


class RowChooser:
    """A list to choose transformations from. Chosen ones stay chosen during another search.

    Args:
        changed: called after every change of the chosen transformations.

    Attributes:
        chosen: ids, in the order of the list they were chosen from.
        controls: the widgets, from top to bottom.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        import ipywidgets as w

        self.chosen: tuple[str, ...] = ()
        self._changed = changed
        self._rows: dict[str, Listed] = {}
        self._more = 0
        self._filling = False
        self._lock = threading.RLock()
        self.search = labelled(
            w.Text(placeholder="part of an id or layer"), "Find", "Shorten the list below", "auto"
        )
        self.only = labelled(
            w.SelectMultiple(rows=6),
            "Only",
            "Run exactly these transformations, with the tables that the others have written before",
            "auto",
        )
        self.note = w.HTML(note_html(NOT_LISTED))
        tip = "Run all transformations again"
        self.clear = small_button("Choose none", "times", tip, self._on_clear)
        # JupyterLab takes the arrow keys away from lists, so a button chooses the matches, too.
        tip = "Choose all transformations that the search finds"
        self.add = small_button("Choose found", "check", tip, self._on_add, disabled=True)
        buttons = w.HBox([self.add, self.clear], layout=w.Layout(flex_flow="row wrap"))
        below = w.VBox([self.note, buttons], layout=w.Layout(margin="0 0 0 98px"))
        self.controls = (self.search, self.only, below)
        self.search.observe(self._on_search, names="value")
        self.only.observe(self._on_only, names="value")

    @property
    def listed(self) -> bool:
        """True if the list has transformations to choose from."""
        return bool(self._rows)

    def offer(self, rows: Iterable[Listed]) -> None:
        """Offer *rows*, and drop chosen transformations that are not among them."""
        with self._lock:
            self._rows = {row.id: row for row in rows}
            self.chosen = tuple(name for name in self.chosen if name in self._rows)
            self._fill()
        self._changed()

    def offer_none(self, why: str) -> None:
        """Empty the list, and show *why*."""
        with self._lock:
            self._rows = {}
            self.chosen = ()
            self._fill()
            self.note.value = note_html(why)

    def choose(self, names: Iterable[str]) -> None:
        """Choose exactly the listed transformations among *names*."""
        with self._lock:
            self.chosen = tuple(name for name in names if name in self._rows)
            self._fill()
        self._changed()

    def toggle(self, names: Iterable[str]) -> None:
        """Choose *names* too, or take them out if all of them are chosen."""
        toggled = [name for name in names if name in self._rows]
        if toggled and all(name in self.chosen for name in toggled):
            self.choose(name for name in self.chosen if name not in toggled)
        else:
            self.choose(dict.fromkeys([*self.chosen, *toggled]))

    def _fill(self) -> None:
        """List the chosen transformations first, then the matches of the search."""
        words = self.search.value.casefold().split()
        chosen = [self._rows[name] for name in self.chosen]
        found = [
            row
            for row in self._rows.values()
            if row.id not in self.chosen and all(word in row.label.casefold() for word in words)
        ]
        shown = [*chosen, *found[: max(0, MAX_LISTED - len(chosen))]]
        self._more = len(chosen) + len(found) - len(shown)
        self._filling = True
        try:
            self.only.options = [(row.label, row.id) for row in shown]
            self.only.value = self.chosen
        finally:
            self._filling = False
        self.add.disabled = not words or not found
        self._count()

    def _count(self) -> None:
        chosen = f"{len(self.chosen):,} chosen" if self.chosen else "none chosen: all run"
        text = f"{chosen} · {len(self.only.options):,} of {len(self._rows):,} listed"
        if self._more:
            text += f", {self._more:,} more match: find them by a part of their id"
        self.note.value = note_html(text)

    def _on_search(self, _change: Any) -> None:
        if self._rows:
            with self._lock:
                self._fill()

    def _on_only(self, _change: Any) -> None:
        if self._filling:
            return
        with self._lock:
            self.chosen = tuple(self.only.value)
            self._count()
        self._changed()

    def _on_add(self) -> None:
        with self._lock:  # another thread may offer other rows
            self.chosen = tuple(value for _, value in self.only.options)
            self._fill()
        self._changed()

    def _on_clear(self) -> None:
        if self._rows:
            self.choose(())
