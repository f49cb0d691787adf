"""Select rows: the grammar of ``select`` and ``exclude``.

::

    SILVER_001                the row of this id
    SILVER_*                  rows whose id matches a pattern: ``*``, ``?``, ``[abc]``
    +GOLD_001, 2+GOLD_001     the row and the rows that it needs, all or within two steps
    GOLD_001+, GOLD_001+2     the row and the rows that need it, all or within two steps
    layer:Silver_1            rows of a layer
    tag:daily                 rows whose ``constants.tags`` name it
    plant:Plant_A, asset:…    rows by entity; also ``entity_1:`` … and the manifest's entity_labels
    engine:pandas             rows by engine
    function:clean_*          rows by function, or by module.function
    state:failed              rows by their status in the last run; ``state:failed@RUN_ID`` in another
    state:stale               rows whose outputs are not up to date; also ``fresh``, ``unknown``,
                              ``modified`` (code or configuration) and ``new`` (never run)

A space means "or", a comma means "and". ``+`` works with all of these forms. Values may be patterns.
Case matters in ids and functions only. Text in double quotes is literal: patterns, spaces and commas
in it have no meaning, and ``""`` is a quote. An argument that equals the id of a row selects that
row, whatever characters the id contains.
"""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property, partial, reduce
from operator import and_
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from odibi_nb.core.model.events import DONE, Status
from odibi_nb.errors import Hints, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from odibi_nb.core.planning.row_freshness import Freshness

ENTITIES = ("entity_1", "entity_2", "entity_3")
LABELS = {"plant": "entity_1", "asset": "entity_2"}
"""The seed's words for entities. The `entity_labels` of a manifest add more."""

STATES: dict[str, frozenset[str]] = {
    "success": frozenset({Status.SUCCESS.value}),
    "failed": frozenset({Status.FAILED.value, Status.ABANDONED.value}),
    "abandoned": frozenset({Status.ABANDONED.value}),
    "skipped": frozenset({Status.SKIPPED.value}),
    "cancelled": frozenset({Status.CANCELLED.value}),
    "unfinished": frozenset(s.value for s in Status if s not in DONE),
    "unchanged": frozenset({Status.UNCHANGED.value}),
    "any": frozenset(s.value for s in Status),
}
"""The values of ``state:`` and the statuses that each selects."""

FRESHNESS = ("fresh", "stale", "unknown", "modified", "new")
"""The values of ``state:`` that compare a row with its last success: see `Freshness.selected_by`."""

_QUOTED = r'"(?:[^"]|"")*"'
_ARGUMENT = re.compile(rf"(?:{_QUOTED}|\S)+")
_TERM = re.compile(r"(?:(\d{0,9})\+)?(.*?)(?:\+(\d{0,9}))?", re.DOTALL)
_METHOD = re.compile(r"(\w+):(.*)", re.DOTALL)


class Selectable(NamedTuple):
    """The fields of a row that a selection can use. *entities* has the order of `ENTITIES`."""

    layer: str
    module: str
    function: str
    engine: str
    tags: tuple[str, ...]
    entities: tuple[str | None, ...]


def no_run_log(*_run: str) -> NoReturn:
    """Raise LookupError. This is `Population.states` and `Population.freshness` if there is no run log."""
    raise LookupError("no run log is available")


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The rows that a selection is made from.

    Attributes:
        rows: the rows by id.
        upstream: the ids that each id needs.
        layers: the names of all layers.
        engines: the names of all engines.
        disabled: ids of the disabled rows.
        labels: the project's own labels for one of `ENTITIES` each, in addition to `LABELS`.
        states: returns the status of each id in a run, by run id or ``last``. If it finds no such
            run, it raises LookupError with the reason.
        freshness: returns the verdict on each row; raises LookupError with the reason if it cannot.
    """

    rows: Mapping[str, Selectable]
    upstream: Mapping[str, Collection[str]]
    layers: Sequence[str] = ()
    engines: Sequence[str] = ()
    disabled: Collection[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    states: Callable[[str], Mapping[str, str]] = no_run_log
    freshness: Callable[[], Mapping[str, Freshness]] = no_run_log


class Selected(NamedTuple):
    """The selected ids, the problems of the selection, and notices for the user."""

    ids: set[str]
    problems: list[Problem]
    notices: list[str]


def select(
    population: Population, include: Iterable[str] = (), exclude: Iterable[str] = ()
) -> Selected:
    """Return the ids that *include* selects, without the ids that *exclude* selects.

    An empty *include* selects all rows.
    """
    selector = _Selector(population)
    include = [*include]
    chosen = selector.union(include, "select") if include else set(population.rows)
    chosen -= selector.union(exclude, "exclude")
    return Selected(chosen, [*dict.fromkeys(selector.problems)], [*dict.fromkeys(selector.notices)])


def exactly(name: str) -> str:
    """Return a selection of the row with the id *name*, whatever characters the id contains."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def selection_text(include: Sequence[str], exclude: Sequence[str]) -> str:
    """Return a selection as a command spells it; "" if both lists are empty."""
    words = ["--select", *include] if include else []
    return shlex.join([*words, *(["--exclude", *exclude] if exclude else [])])


class _Selector:
    """Finder of rows of *population*. It collects the problems of the selection."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self.rows = population.rows
        by, layers, engines = self._by_value, population.layers, population.engines
        self.methods: dict[str, Callable[[str], set[str]]] = {
            "layer": partial(by, "layer", lambda row: [row.layer], known=layers),
            "tag": partial(by, "tag", lambda row: row.tags),
            "engine": partial(by, "engine", lambda row: [row.engine], known=engines),
            "function": partial(by, "function", _function_names, fold=False),
            "state": self._by_state,
        }
        labels = {**{name: name for name in ENTITIES}, **LABELS, **population.labels}
        for label, entity in labels.items():
            by_entity = partial(self._by_entity, label, ENTITIES.index(entity))
            self.methods.setdefault(label.casefold(), by_entity)
        self.problems: list[Problem] = []
        self.notices: list[str] = []
        self.where = ""
        self.hint = Hints()
        self._values: dict[str, dict[str, set[str]]] = {}

    def union(self, arguments: Iterable[str], where: str) -> set[str]:
        """Return the ids that any of *arguments* selects. Problems name *where* as their place."""
        self.where = where
        found: set[str] = set()
        for argument in arguments:
            words = [argument] if argument in self.rows else _ARGUMENT.findall(argument)
            if not words:
                self._problem("is empty")
            for word in dict.fromkeys(words):
                found |= self._intersection(word)
        return found

    def _intersection(self, word: str) -> set[str]:
        terms = [word] if word in self.rows else _split_at_commas(word)
        return reduce(and_, [self._term(term) for term in terms])

    def _term(self, term: str) -> set[str]:
        if term in self.rows:
            return {term}
        match = _TERM.fullmatch(term)
        assert match is not None  # it matches any text
        up, core, down = match.groups()
        found = self._matched(core)
        chosen = set(found)
        if up is not None:
            chosen |= reached(found, self.population.upstream, int(up) if up else None)
        if down is not None:
            chosen |= reached(found, self._needed_by, int(down) if down else None)
        return chosen

    @cached_property
    def _needed_by(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for name, needed in self.population.upstream.items():
            for other in needed:
                found[other].add(name)
        return found

    def _matched(self, core: str) -> set[str]:
        if not core:
            return self._problem("a name is missing")
        if core in self.rows:
            return {core}
        asked = _METHOD.fullmatch(core)
        if asked is None:
            return self._by_id(core)
        method, value = asked[1].casefold(), asked[2]
        if method not in self.methods:
            hint = did_you_mean(method, self.methods)
            known = ", ".join(f"{name}:" for name in self.methods)
            return self._problem(
                f"unknown method {asked[1] + ':'!r}{hint}; the methods are {known}"
            )
        if not value:
            return self._problem(f"{method}: needs a value")
        return self.methods[method](value)

    # -- methods -------------------------------------------------------------------------------

    def _by_id(self, text: str) -> set[str]:
        name = _plain(text)
        if _is_pattern(text):
            matches = _matcher(text, fold=False)
            found = {row for row in self.rows if matches(row)}
        else:
            found = {name} & self.rows.keys()
        if not found:
            if name in self.population.disabled:
                self._problem(f"transformation {name!r} is disabled")
            elif _is_pattern(text):
                self._problem(f"no transformation id matches {text!r}")
            else:
                self._problem(f"no transformation {name!r}{self.hint(name, self.rows)}")
        return found

    def _by_entity(self, label: str, which: int, value: str) -> set[str]:
        return self._by_value(label, lambda row: [row.entities[which] or ""], value)

    def _by_value(
        self,
        method: str,
        values_of: Callable[[Selectable], Sequence[str]],
        value: str,
        *,
        known: Sequence[str] = (),
        fold: bool = True,
    ) -> set[str]:
        """Return the rows with a value that matches *value*.

        Add a problem if no row and none of the *known* values matches. In an exclusion, a free word that
        resembles no value of a row is only a notice, because it excludes nothing.
        """
        by_value = self._rows_by_value(method, values_of)
        matches = _matcher(value, fold=fold)
        found: set[str] = set()
        for row_value, rows in by_value.items():
            if matches(row_value):
                found |= rows
        if not found and not any(map(matches, known)):
            hint = self.hint(_plain(value), [*known, *by_value])
            message = f"no row has {method} {_plain(value)!r}"
            if self.where == "exclude" and not known and not hint:
                self.notices.append(f"{message}: this excludes nothing")
            else:
                self._problem(f"{message}{hint or _listed(known)}")
        return found

    def _rows_by_value(
        self, method: str, values_of: Callable[[Selectable], Sequence[str]]
    ) -> dict[str, set[str]]:
        """Return the rows by each value of *method*; computed once."""
        if method not in self._values:
            found: dict[str, set[str]] = defaultdict(set)
            for name, row in self.rows.items():
                for value in values_of(row):
                    found[value].add(name)
            self._values[method] = found
        return self._values[method]

    def _by_state(self, value: str) -> set[str]:
        word, _, run = value.partition("@")
        if word.casefold() in FRESHNESS:
            return self._by_freshness(word.casefold(), run)
        statuses = STATES.get(word.casefold())
        if statuses is None:
            known = (*STATES, *FRESHNESS)
            hint = did_you_mean(word, known) or _listed(known)
            return self._problem(f"unknown state {word!r}{hint}")
        try:
            states = self.population.states(run or "last")
        except LookupError as exc:
            return self._problem(str(exc.args[0]))
        found = {name for name, status in states.items() if status in statuses}
        if Status.SUCCESS.value not in statuses:
            self._name_the_lost(found - self.rows.keys(), states)
        return found & self.rows.keys()

    def _by_freshness(self, word: str, run: str) -> set[str]:
        if run:
            return self._problem(f"state:{word} takes no run: it compares with the last success")
        try:
            verdicts = self.population.freshness()
        except LookupError as exc:
            return self._problem(str(exc.args[0]))
        found = {name for name, verdict in verdicts.items() if verdict.selected_by(word)}
        return found & self.rows.keys()

    def _name_the_lost(self, lost: set[str], states: Mapping[str, str]) -> None:
        for name in sorted(lost):
            why = "is disabled" if name in self.population.disabled else "is gone from the registry"
            self.notices.append(f"{name}, {states[name].lower()} before, {why}: left out")

    # -- problems ------------------------------------------------------------------------------

    def _problem(self, message: str) -> set[str]:
        """Add a problem. Return the ids that a wrong term selects: none."""
        self.problems.append(Problem(self.where, message))
        return set()


def reached(
    names: Iterable[str], edges: Mapping[str, Collection[str]], steps: int | None = None
) -> set[str]:
    """Return the ids that *names* reach in at most *steps* edges, without *names* themselves."""
    found: set[str] = set()
    start = set(names)
    edge = start
    while edge and (steps is None or steps > 0):
        edge = {other for name in edge for other in edges.get(name, ())} - found
        found |= edge
        steps = None if steps is None else steps - 1
    return found - start


def _function_names(row: Selectable) -> Sequence[str]:
    return row.function, f"{row.module}.{row.function}"


def _split_at_commas(word: str) -> list[str]:
    """Split *word* at the commas outside quotes: an even number of quotes follows such a comma."""
    quotes, terms = word.count('"'), [[""]]
    for number, part in enumerate(word.split('"')):
        outside = (quotes - number) % 2 == 0
        first, *others = part.split(",") if outside else [part]
        terms[-1] += ['"', first] if number else [first]
        terms += [[other] for other in others]
    return ["".join(term) for term in terms]


def _plain(text: str) -> str:
    """Return *text* without the quotes around it."""
    return text[1:-1].replace('""', '"') if re.fullmatch(_QUOTED, text, re.DOTALL) else text


def _is_pattern(text: str) -> bool:
    return _plain(text) == text and any(sign in text for sign in "*?[")


def _matcher(text: str, *, fold: bool) -> Callable[[str], object]:
    """Return a function that tests whether a name equals *text* or matches it as a pattern.

    Text in quotes is not a pattern.
    """
    pattern = _plain(text).casefold() if fold else _plain(text)
    if not _is_pattern(text):
        return lambda name: (name.casefold() if fold else name) == pattern
    fits = re.compile(fnmatch.translate(pattern)).match
    return lambda name: fits(name.casefold() if fold else name) or name == text


def _listed(known: Iterable[str]) -> str:
    names = ", ".join(known)
    return f": choose from {names}" if names else ""
