"""The engines and sinks of a project, made at their first use and closed after each run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.protocols import BaseLogSink, TableEngine


@dataclass(eq=False)
class OpenAdapters:
    """The open engines and sinks of a project.

    Attributes:
        make_engine: makes an engine from its name.
        make_sinks: makes the sinks of the run log.
    """

    make_engine: Callable[[str], TableEngine]
    make_sinks: Callable[[], Sequence[BaseLogSink]]
    _engines: dict[str, TableEngine] = field(default_factory=dict, init=False)
    _sinks: Sequence[BaseLogSink] | None = field(default=None, init=False)

    def engine(self, name: str) -> TableEngine:
        """Return the engine *name*."""
        if name not in self._engines:
            self._engines[name] = self.make_engine(name)
        return self._engines[name]

    def sinks(self) -> Sequence[BaseLogSink]:
        """Return the sinks of the run log."""
        if self._sinks is None:
            self._sinks = self.make_sinks()
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
