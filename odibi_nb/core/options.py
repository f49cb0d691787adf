"""What may differ from run to run of a project."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.decoding import as_json
from odibi_nb.core.tables import redact
from odibi_nb.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHOICES = {"on_error": ("continue", "stop"), "schedule": ("layers", "graph")}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What may differ from run to run.

    Attributes:
        target_layers: only these, in the manifest's order; all if empty.
        cache_plan: layer to tables, instead of the manifest's.
        max_workers: transformations at a time; the number of CPUs by default.
        on_error: ``continue``: dependants of a failed row are skipped, others go on; ``stop``.
        schedule: ``layers`` one after the other, or ``graph``: a row starts when its upstream is done.
        retry: overlay on `RetryPolicy`.
        timeout_seconds: for each attempt of each transformation.
        overrides: transformation id to constants that replace the row's.
        confirm: the project's name, for a protected environment; True where nobody can type.
    """

    target_layers: Sequence[str] = ()
    cache_plan: Mapping[str, Sequence[str]] | None = None
    max_workers: int | None = None
    on_error: str = "continue"
    schedule: str = "layers"
    retry: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: float | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    confirm: str | bool = ""

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, Any]) -> RunOptions:
        """Options from ``**kwargs``, checked; None means the default.

        Raises:
            ConfigurationError: if a name is unknown or a value is wrong.
        """
        known = list(cls.__dataclass_fields__)
        problems = [
            f"unknown option {name!r}{did_you_mean(name, known)}"
            for name in keywords
            if name not in known
        ]
        given = {k: v for k, v in keywords.items() if v is not None}
        if isinstance(given.get("target_layers"), str):
            given["target_layers"] = [given["target_layers"]]
        workers = given.get("max_workers")
        if workers is not None and (not isinstance(workers, int) or workers < 1):
            problems.append(
                f"max_workers: expected a whole number of at least 1, found {workers!r}"
            )
        for name, choices in CHOICES.items():
            if name in given and given[name] not in choices:
                expected = " or ".join(map(repr, choices))
                problems.append(f"{name}: expected {expected}, found {given[name]!r}")
        if problems:
            raise ConfigurationError("run options", problems)
        return cls(**given)

    def recorded(self) -> str:
        """The options that were given, as JSON, without secrets."""
        default = RunOptions()
        names = [name for name in self.__dataclass_fields__ if name != "confirm"]
        given = {n: getattr(self, n) for n in names if getattr(self, n) != getattr(default, n)}
        return as_json(redact(given))
