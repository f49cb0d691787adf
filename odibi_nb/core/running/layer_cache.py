"""Cache the tables that the cache plan names, after each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.running.inbox import Said, Warned
from odibi_nb.core.text.redaction import error_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odibi_nb.core.protocols import TableEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCache:
    """Cache of tables, filled on a worker between two layers.

    Attributes:
        tables: layer to the tables to cache after it.
        engine: returns the engine that caches.
        keep: leave the tables cached after the run.
        post: takes the messages for the coordinator.
    """

    tables: Mapping[str, tuple[str, ...]]
    engine: Callable[[], TableEngine]
    keep: bool
    post: Callable[[Said | Warned], None]

    def fill(self, layer: str) -> None:
        """Cache the tables of *layer*. Warn of tables that cannot be cached."""
        tables = self.tables.get(layer, ())
        if not tables:
            return
        engine = self.engine()
        engine.spark_session()  # only a started session shows whether the engine can cache
        if engine.cannot_cache:
            self.post(Said("INFO", f"📦 Not caching tables after {layer}: {engine.cannot_cache}"))
            return
        self.post(Said("INFO", f"📦 Caching tables after {layer}"))
        for table in tables:
            try:
                engine.cache(TableName.parse(table), keep=self.keep)
            except Exception as exc:  # noqa: BLE001  a run needs no cache
                self.post(Warned(f"Could not cache {table}: {error_message(exc)}"))
            else:
                self.post(Said("INFO", f"✅ Cached table: {table}"))
