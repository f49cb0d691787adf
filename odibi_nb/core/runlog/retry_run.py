"""Retry a run: select the rows to run again, reuse its options, and find the changes since."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import DONE
from odibi_nb.core.model.options import RunOptions
from odibi_nb.core.planning.plan import nothing_ran
from odibi_nb.core.runlog.record import function_hashes, json_object
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import REDACTED, redact
from odibi_nb.errors import Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.protocols import Row
    from odibi_nb.core.runlog.history import RunChain

NOT_REUSED = ("target_layers", "select", "exclude", "repairs", "force", "job", "part", "confirm")
"""Options of a run that its retry does not reuse.

The options that chose the rows are not needed, because the run log has the rows. The other options
hold for one run only.
"""
MAX_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A retry of the last run of *chain*.

    Attributes:
        only_failed: True to run only failed rows again, not the rows that waited for them.
        given: the options of this retry, which replace the options of the run.
    """

    chain: RunChain
    only_failed: bool
    given: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """The id of the run that is retried."""
        return str(self.chain.runs[-1]["run_id"])

    @property
    def engine(self) -> str:
        """The engine of that run."""
        return str(self.chain.runs[-1]["engine"])

    @property
    def within(self) -> tuple[str, ...]:
        """The rows to run again, as a selection."""
        if self.only_failed:
            return (f"state:failed@{self.run_id}",)
        # A row that needs an unfinished row is run again even if it succeeded: the dependency may
        # be new since that run.
        return (f"state:unfinished@{self.run_id}+,state:any@{self.run_id}",)

    def options(self) -> dict[str, Any]:
        """Return the keywords for `RunOptions`: the options of the run, updated with *given*."""
        links = [json_object(run["options"]) for run in self.chain.runs]
        overrides: dict[str, Any] = {}
        for options in (*links, self.given):
            for name, constants in (options.get("overrides") or {}).items():
                overrides[name] = {**overrides.get(name, {}), **constants}
        known = RunOptions.__dataclass_fields__
        reused = {k: v for k, v in links[-1].items() if k in known and k not in NOT_REUSED}
        repairs = [run["run_id"] for run in self.chain.runs]
        return {**reused, **self.given, "overrides": overrides, "repairs": repairs}

    def checked(self, plan: RunPlan) -> RunPlan:
        """Return *plan* with the problems and notices of the retry."""
        problems = [*plan.problems, *self._lost_secrets(plan), *self._strangers(plan)]
        text = f"{plan.selection}; of that " if plan.selection else ""
        unfinished = "the unsuccessful rows and the rows that need them"
        what = "what failed" if self.only_failed else unfinished
        return replace(
            plan,
            problems=tuple(problems),
            notices=(*plan.notices, *self._changes(plan)),
            selection=f"{text}{what}, in run {self.run_id}",
        )

    def _lost_secrets(self, plan: RunPlan) -> Iterator[Problem]:
        secret = f"is a secret, which the log of run {self.run_id} does not store: pass it again"
        for name, constants in self.options()["overrides"].items():
            for path in _redacted(constants, f"overrides.{name}") if name in plan.rows else ():
                yield Problem(path, secret)

    def _strangers(self, plan: RunPlan) -> Iterator[Problem]:
        for name in self.given.get("overrides") or {}:
            if name not in plan.rows:
                known = name in self.chain.records
                hint = ": it is not run again" if known else did_you_mean(name, plan.rows)
                text = f"no transformation {name!r} in this retry{hint}"
                yield Problem(f"overrides.{name}", text)

    def _changes(self, plan: RunPlan) -> Iterator[str]:
        """Yield a notice for each kind of change to the rows since their last run."""
        sources = plan.source_hashes()
        before = {run["run_id"]: function_hashes(run) for run in self.chain.runs}
        given = self.given.get("overrides") or {}
        hashes = plan.config_hashes()
        config, source = [], []
        for name, row in plan.rows.items():
            record = self.chain.records.get(name)
            if record is None:
                continue
            if name not in given and record["config_hash"] not in (None, hashes[name]):
                config.append(name)
            old = before[record["run_id"]].get(row.function_key)
            if old and old != sources.get(row.function_key):
                source.append(name)
        for what, names in (("registry rows", config), ("functions", source)):
            if names:
                yield f"{what} that changed since run {self.run_id}: {_listed(names)}"

    def texts(self, plan: RunPlan, options: RunOptions) -> Iterator[str]:
        """Yield the lines to show before the retry begins."""
        states = self.chain.states()
        counts = Counter(states.get(name, "new") for name in plan.rows)
        shown = ", ".join(f"{n} {status.lower()}" for status, n in sorted(counts.items()))
        yield (
            f"🔁 Retry of run {self.run_id} of {plan.project} (env={plan.env}): {len(plan.rows)} of its {counted(len(states), 'transformation')}"
            f" ({shown} before)"
        )
        given = {k: v for k, v in self.given.items() if k != "confirm" and v not in ((), [], {})}
        own = {*given, *NOT_REUSED}
        reused = {k: v for k, v in json_object(options.recorded()).items() if k not in own}
        if reused:
            yield f"   with its options {as_json(reused)}"
        if given:
            yield f"   given now: {as_json(redact(given))}"

    def nothing(self, plan: RunPlan) -> RunResult:
        """Return the result of a *plan* without rows. Its warnings give the reason."""
        states = self.chain.states()
        open_ones = [n for n, status in states.items() if status not in DONE]
        if not states:
            why = f"run {self.run_id} has no transformations in its log"
        elif not open_ones:
            first = self.chain.runs[0]["run_id"]
            run = f"run {first}" + (" and its retries" if first != self.run_id else "")
            number = counted(len(states), "transformation")
            several = f"all {number} of {run} have succeeded"
            why = several if len(states) > 1 else f"the only transformation of {run} has succeeded"
        else:
            named = _listed([f"{name} ({states[name].lower()})" for name in sorted(open_ones)])
            why = f"no unfinished row of run {self.run_id} is selected and still exists: {named}"
        return nothing_ran(plan, f"nothing to retry: {why}", retry_of=self.run_id)


def options_of(run: Row) -> dict[str, Any]:
    """Return the options in the record of *run*; {} if it has none."""
    return json_object(run.get("options"))


def _redacted(value: Any, path: str) -> Iterator[str]:
    """Yield the path of each redacted text in *value*."""
    if isinstance(value, str) and REDACTED in value:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _redacted(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _redacted(item, f"{path}[{i}]")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
