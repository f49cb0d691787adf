"""What may differ from run to run of a project."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import redact, shown
from odibi_nb.core.text.structs import decode_struct
from odibi_nb.errors import ConfigurationError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence


LEAST_SPARK_WORKERS = 4


def default_workers(engine: str) -> int:
    """Transformations at a time where nobody says: the number of CPUs, as in the seed.

    On Spark at least 4: there a worker mostly waits for the driver and the cluster.
    """
    cpus = os.cpu_count() or 1
    return max(LEAST_SPARK_WORKERS, cpus) if engine == "spark" else cpus


def _one_of(*words: str) -> tuple[Callable[[Any], str], str]:
    def understand(value: Any) -> str:
        if value not in words:
            raise ValueError(value)
        return str(value)

    return understand, " or ".join(map(repr, words))


def _names(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(name, str) for name in names):
        raise TypeError
    return names


def _tables_by_layer(value: Any) -> dict[str, tuple[str, ...]]:
    return {layer: _names(tables) for layer, tables in _mapping(value).items()}


def _constants_by_id(value: Any) -> dict[str, dict[str, Any]]:
    return {name: _mapping(constants) for name, constants in _mapping(value).items()}


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError
    return dict(value)


def _workers(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(value)
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _seconds(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(value)
    return value


def _retry(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"max_retries": int(value)}
    return _mapping(value)


_FORMS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "target_layers": (_names, "a list of layers' names"),
    "select": (_names, "text or a list of text"),
    "exclude": (_names, "text or a list of text"),
    "cache_plan": (_tables_by_layer, "layers with lists of tables"),
    "max_workers": (_workers, "a whole number of at least 1"),
    "on_error": _one_of("continue", "stop"),
    "schedule": _one_of("layers", "graph"),
    "retry": (_retry, "a number of retries or an object"),
    "timeout_seconds": (_seconds, "seconds above 0"),
    "run_timeout_seconds": (_seconds, "seconds above 0"),
    "overrides": (_constants_by_id, "transformation ids with constants"),
    "repairs": (_names, "a list of run ids"),
    "keep_cached": (_flag, "True or False"),
    "force": (_flag, "True or False"),
}
"""Option to how its values are understood, and to what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What may differ from run to run.

    Attributes:
        target_layers: only these, in the manifest's order; all if empty.
        select: only these rows, as in `odibi_nb.core.planning.selection`; all if empty. What the others write
            is taken as there.
        exclude: not these rows.
        cache_plan: layer to tables, instead of the manifest's.
        max_workers: transformations at a time; the number of CPUs by default, on Spark at least 4.
        on_error: ``continue``: dependants of a failed row are skipped, others go on; ``stop``.
        schedule: ``layers`` one after the other, or ``graph``: a row starts when its upstream is done.
        retry: overlay on `RetryPolicy`.
        timeout_seconds: for each attempt of each transformation.
        run_timeout_seconds: for the whole run: then what runs is FAILED, and nothing else starts.
        overrides: transformation id to constants that replace the row's.
        repairs: runs whose work this one redoes: what they appended for the same rows is replaced.
        keep_cached: leave the cache plan's tables in the Spark session's memory when the run ends.
        force: take the place of a run of the same project and environment that goes on.
        confirm: the project's name, for a protected environment; True where nobody can type.
    """

    target_layers: Sequence[str] = ()
    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    cache_plan: Mapping[str, Sequence[str]] | None = None
    max_workers: int | None = None
    on_error: str = "continue"
    schedule: str = "layers"
    retry: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: float | None = None
    run_timeout_seconds: float | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    repairs: Sequence[str] = ()
    keep_cached: bool = False
    force: bool = False
    confirm: str | bool = ""

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, Any]) -> RunOptions:
        """Options from ``**kwargs``, checked; None means the default.

        One layer, table or selection may be given as text, and retries as a number.

        Raises:
            ConfigurationError: with everything that is wrong: unknown names, impossible values.
        """
        known = list(cls.__dataclass_fields__)
        problems: list[Problem | str] = [
            f"unknown option {name!r}{did_you_mean(name, known)}"
            for name in keywords
            if name not in known
        ]
        given = {k: v for k, v in keywords.items() if k in known and v is not None}
        for name, (understand, expected) in _FORMS.items():
            if name not in given:
                continue
            try:
                given[name] = understand(given[name])
            except (TypeError, ValueError):
                problems.append(f"{name}: expected {expected}, found {shown(given[name])}")
        if isinstance(given.get("retry"), dict):
            problems += decode_struct(given["retry"], RetryPolicy, "retry")[1]
        if problems:
            raise ConfigurationError("run options", problems)
        return cls(**given)

    def recorded(self) -> str:
        """The options that were given, as JSON, without secrets."""
        default = RunOptions()
        names = [name for name in self.__dataclass_fields__ if name != "confirm"]
        given = {n: getattr(self, n) for n in names if getattr(self, n) != getattr(default, n)}
        return as_json(redact(given))
