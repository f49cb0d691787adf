"""Caching tables after a layer, as the cache plan names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.running.messages import Said, Warned
from odibi_nb.core.text.redaction import error_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odibi_nb.core.protocols import TableEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCache:
    """Caches tables on a worker, between two layers.

    Attributes:
        tables: layer to the tables that are cached after it.
        engine: returns the engine that caches.
        keep: leave the tables cached after the run.
        post: takes the messages for the coordinator.
    """

    tables: Mapping[str, tuple[str, ...]]
    engine: Callable[[], TableEngine]
    keep: bool
    post: Callable[[Said | Warned], None]

    def fill(self, layer: str) -> None:
        """Cache the tables of *layer*. A table that cannot be cached is a warning."""
        tables = self.tables.get(layer, ())
        if not tables:
            return
        engine = self.engine()
        engine.spark_session()  # an engine that starts its session late knows only then if it can cache
        if engine.cannot_cache:
            self.post(Said("INFO", f"📦 Not caching tables after {layer}: {engine.cannot_cache}"))
            return
        self.post(Said("INFO", f"📦 Caching tables after {layer}"))
        for table in tables:
            try:
                engine.cache(TableName.parse(table), keep=self.keep)
            except Exception as exc:  # noqa: BLE001  a cache is an offer: the run goes on without it
                self.post(Warned(f"Could not cache {table}: {error_message(exc)}"))
            else:
                self.post(Said("INFO", f"✅ Cached table: {table}"))
