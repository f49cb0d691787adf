"""Options that can differ between the runs of a project."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import redact, shown
from odibi_nb.core.text.structs import decode_struct, is_number
from odibi_nb.errors import ConfigurationError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence


def default_workers(engine: str) -> int:
    """Return the default number of parallel transformations: the number of CPUs, as in the seed.

    On Spark it is at least 4, because a worker mostly waits for the driver and the cluster.
    """
    cpus = os.cpu_count() or 1
    return max(4, cpus) if engine == "spark" else cpus


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


def _only(kind: type) -> Callable[[Any], Any]:
    def understand(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(value)
        return value

    return understand


def _workers(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(value)
    return value


def _seconds(value: Any) -> float:
    if not is_number(value) or value <= 0:
        raise ValueError(value)
    seconds: float = value
    return seconds


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
    **dict.fromkeys(("stale", "keep_cached", "atomic", "force"), (_only(bool), "True or False")),
    **dict.fromkeys(("job", "part"), (_only(str), "text")),
}
"""Option to the function that converts its value, and to the expected form for error messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of one run.

    Attributes:
        target_layers: layers to run, in the manifest's order; all if empty.
        select: rows to run, as in `odibi_nb.core.planning.selection`; all if empty. The run assumes that the
            tables of the other rows already exist.
        exclude: rows not to run.
        cache_plan: layer to the tables to cache after it, instead of the manifest's plan.
        max_workers: number of parallel transformations; by default the number of CPUs, on Spark at
            least 4.
        on_error: ``continue`` skips the dependants of a failed row and runs all other rows. ``stop``
            starts no more rows after a failure.
        schedule: ``layers`` runs one layer after the other. ``graph`` starts a row when its upstream is
            done.
        retry: settings that override the `RetryPolicy`.
        timeout_seconds: time limit of each attempt of each transformation.
        run_timeout_seconds: time limit of the whole run. After it, the running rows are FAILED and no
            other row starts.
        overrides: transformation id to constants that replace the row's.
        repairs: ids of runs that this run repairs. Its appends replace the rows that they appended for
            the same transformations.
        stale: run only the rows whose outputs are not up to date, and the rows that read new data
            from them.
        keep_cached: keep the cache plan's tables in the Spark session's memory after the run.
        atomic: if the run does not succeed, restore all tables that it wrote to their versions before
            the run.
        force: replace a run of the same project and environment that is still alive.
        job: the scheduler's id of its job run or task run. `Orchestrator.run_for_job` finds a run by this id.
        part: the name of this part of a job, whose parts are runs of other rows at the same time. On machines
            that share the lake, the run then excludes only runs of the same part.
        confirm: the project's name, to confirm a run in a protected environment; True in a script.
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
    stale: bool = False
    keep_cached: bool = False
    atomic: bool = False
    force: bool = False
    job: str = ""
    part: str = ""
    confirm: str | bool = ""

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, Any]) -> RunOptions:
        """Check ``**kwargs`` and convert them to options. None means the default.

        A single layer, table or selection may be a plain string, and ``retry`` may be a number.

        Raises:
            ConfigurationError: if a name is unknown or a value is invalid; contains all problems.
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
        """Return the options that differ from the defaults, as JSON without secrets."""
        default = RunOptions()
        names = [name for name in self.__dataclass_fields__ if name != "confirm"]
        given = {n: getattr(self, n) for n in names if getattr(self, n) != getattr(default, n)}
        return as_json(redact(given))
