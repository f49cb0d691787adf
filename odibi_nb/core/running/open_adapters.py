"""The engines and sinks of a project, made at their first use and closed after each run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.protocols import BaseLogSink, TableEngine


class OpenAdapters:
    """The open engines and sinks of a project.

    Args:
        make_engine: makes an engine from its name.
        make_sinks: makes the sinks of the run log.
    """

    def __init__(
        self,
        make_engine: Callable[[str], TableEngine],
        make_sinks: Callable[[], Sequence[BaseLogSink]],
    ) -> None:
        self._make_engine = make_engine
        self._make_sinks = make_sinks
        self._engines: dict[str, TableEngine] = {}
        self._sinks: Sequence[BaseLogSink] | None = None

    def engine(self, name: str) -> TableEngine:
        """Return the engine *name*."""
        if name not in self._engines:
            self._engines[name] = self._make_engine(name)
        return self._engines[name]

    def sinks(self) -> Sequence[BaseLogSink]:
        """Return the sinks of the run log."""
        if self._sinks is None:
            self._sinks = self._make_sinks()
        return self._sinks

    def spark_session(self) -> Any:
        """Return the session of an open engine; None if no engine has one."""
        found = (engine.spark_session() for engine in self._engines.values())
        return next((spark for spark in found if spark is not None), None)

    def close(self) -> None:
        """Close all engines and sinks. The next use makes new ones."""
        for engine in self._engines.values():
            engine.close()
        for sink in self._sinks or ():
            sink.close()
        self._engines.clear()
        self._sinks = None
