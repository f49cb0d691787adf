"""Tab completion for ``%odibi``: commands, options and their values, projects, environments, ids.

The parser supplies commands and options. `LocalNames` supplies names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.completer import SimpleCompletion, context_matcher

from odibi_nb.commands.grammar import LinePlace, choices_of, place_after
from odibi_nb.core.model.engine import ENGINES
from odibi_nb.core.planning.selection import FRESHNESS, STATES
from odibi_nb.notebook.line_words import literal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.notebook.local_names import LocalNames

IDENTIFIER = "odibi_nb"
"""The name by which IPython identifies this matcher."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_MAGIC = re.compile(r"(?:\s*%\w+\s+|[^=#'\"!%]+=\s*|\s*)(?P<signs>%%?)odibi\s")
_CELL = re.compile(r"%%odibi\s")
_TABLE = re.compile(r"\s*\[(?P<name>[^\]\[=]*)$")
_DOLLARS = re.compile(r"\$\$(?=[A-Za-z_])")
_WORD = re.compile(r"[\w@%+=:,./-]+")
_LAST_TERM = re.compile(r"(?P<before>(?:.*,)?(?:\d*\+)?)(?P<method>\w+:)?(?P<value>.*)", re.DOTALL)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Word(NamedTuple):
    """A word of a command line: its start, its unquoted text, and the quote still open at its end."""

    start: int
    text: str
    quote: str = ""


class Found(NamedTuple):
    """Texts that can replace the last *fragment* characters before the cursor."""

    fragment: str
    texts: list[str]
    kind: str = ""


NOTHING = Found("", [])


def words_of(line: str) -> list[Word]:
    """Return the words of *line* as the magic splits them.

    The last word is the one at the cursor and may be empty. Expressions stay as typed.
    """
    words: list[Word] = []
    start, text, quote, inside = 0, "", "", False
    i = 0
    while i < len(line):
        c = line[i]
        doubled = line[i : i + 2] in ("{{", "}}") or (
            quote != "'" and _DOLLARS.match(line, i) is not None
        )
        if doubled:
            start, inside = (start, True) if inside else (i, True)
            i, text = i + 1, text + c
        elif quote:
            if c == quote:
                quote = ""
            elif c == "\\" and quote == '"' and line[i + 1 : i + 2] in ('"', "\\"):
                i, text = i + 1, text + line[i + 1]
            else:
                text += c
        elif c.isspace():
            if inside:
                words.append(Word(start, text))
            text, inside = "", False
        else:
            start, inside = (start, True) if inside else (i, True)
            if c in "'\"":
                quote = c
            elif c == "\\" and line[i + 1 : i + 2] in ("'", '"', "\\", " "):
                i, text = i + 1, text + line[i + 1]
            else:
                text += c
        i += 1
    words.append(Word(start if inside else len(line), text, quote))
    return words


def quoted(text: str, after: str = "") -> str:
    """Return *text* as one word of a command line.

    *after* is the text behind the cursor, because an editor may already have closed the quotes.
    """
    if _WORD.fullmatch(text):
        return text
    word = '"' + re.sub(r'(["\\])', r"\\\1", literal(text)) + '"'
    return word[:-1] if after.startswith('"') else word


@dataclass(frozen=True, slots=True)
class Completer:
    """Completion of ``%odibi`` lines with *names*."""

    names: LocalNames

    def find(self, line: str, cell: str = "", after: str = "", *, first: bool = True) -> Found:
        """Return the texts that can complete *line*.

        Args:
            line: the cursor's line, up to the cursor.
            cell: the whole cell.
            after: the rest of the cursor's line.
            first: True if the line is the cell's first.
        """
        magic = _MAGIC.match(line)
        if magic and (first or magic["signs"] == "%"):
            return self._in_line(line[magic.end() :], after)
        table = _TABLE.match(line)
        if table and not first and _CELL.match(cell):
            return self._in_body(cell.partition("\n")[0], table["name"], after)
        return NOTHING

    def _in_line(self, line: str, after: str) -> Found:
        *before, word = words_of(line)
        place = place_after(one.text for one in before)
        option = place.option(word.text.partition("=")[0]) if "=" in word.text else None
        if option is not None and not word.quote:
            name, _, value = word.text.partition("=")
            texts = [f"{name}={quoted(x)}" for x in self._values(option, place, value)]
            return Found(line[word.start :], texts, str(option.metavar or "value").lower())
        if word.text.startswith("-") and not place.waits and not word.quote:
            return Found(line[word.start :], _options(place, word.text), "option")
        texts, kind = [], "value"
        if place.takes is not None:
            opened = after if word.quote else ""
            texts = [quoted(x, opened) for x in self._values(place.takes, place, word.text)]
            kind = str(place.takes.metavar or "value").lower()
        if not texts and not word.quote and "project" in place.given:
            return self._unquoted_project(line, before, word)
        if not word.text and not word.quote and not place.waits:
            texts += _options(place, "--")
        return Found(line[word.start :], texts, kind)

    def _unquoted_project(self, line: str, before: list[Word], word: Word) -> Found:
        """Complete a project name with spaces that the user types without quotes."""
        for one in before[1:]:
            typed = line[one.start :]
            texts = [quoted(x) for x in self._projects(typed)] if " " in typed else []
            if texts:
                return Found(typed, texts, "project")
        return Found(line[word.start :], [])

    def _in_body(self, head: str, typed: str, after: str) -> Found:
        """Complete ``[ID`` in a cell's body, where each TOML table is named after a transformation."""
        *words, _ = words_of(head.partition("odibi")[2] + " ")
        place = place_after(one.text for one in words)
        texts = [
            (x if _BARE_KEY.fullmatch(x) else '"' + re.sub(r'(["\\])', r"\\\1", x) + '"')
            + ("" if after.startswith("]") else "]")
            for x in _starting(self._transformations(place), typed.strip("\"' "))
        ]
        return Found(typed, texts, "transformation")

    def _values(self, action: argparse.Action, place: LinePlace, typed: str) -> list[str]:
        """Return the values of *action* that start with *typed*."""
        choices = choices_of(action)
        if choices:
            return _starting(choices, typed)
        if action.metavar == "ROWS":
            return self._rows(place, typed)
        if action.metavar == "PROJECT":
            return self._projects(typed)
        known: dict[str, Callable[[LinePlace], Iterable[str]]] = {
            "ENV": self._envs,
            "LAYER": self._layers,
            "ID": self._transformations,
            "RUN_ID": self._runs,
            "LEVEL": lambda _place: LEVELS,
        }
        find = known.get(str(action.metavar))
        given = place.given.get(action.dest, ())
        return [x for x in _starting(find(place), typed) if x not in given] if find else []

    def _rows(self, place: LinePlace, typed: str) -> list[str]:
        """Return selectors that complete the last term of *typed*.

        A comma, a ``+`` or a method such as ``layer:`` can precede the term.
        """
        found = _LAST_TERM.fullmatch(typed)
        assert found is not None  # the pattern matches any text
        known: dict[str, Callable[[LinePlace], Iterable[str]]] = {
            "layer:": self._layers,
            "state:": lambda _place: (*STATES, *FRESHNESS),
            "engine:": lambda _place: ENGINES,
        }
        before, method, value = found["before"], found["method"] or "", found["value"]
        if method:
            values = known[method](place) if method in known else ()
            return [before + method + text for text in _starting(values, value)]
        texts = [*self._transformations(place), *known]
        return [before + text for text in _starting(texts, value)]

    def _manifests(self, place: LinePlace) -> list[ProjectManifest]:
        given = {name: values[-1] for name, values in place.given.items()}
        return self.names.manifests(given.get("project", ""), given.get("manifest", ""))

    def _projects(self, typed: str) -> list[str]:
        return _starting((m.project for m in self.names.manifests()), typed)

    def _envs(self, place: LinePlace) -> list[str]:
        return [env for manifest in self._manifests(place) for env in manifest.environments]

    def _layers(self, place: LinePlace) -> list[str]:
        return [layer for manifest in self._manifests(place) for layer in manifest.layer_order]

    def _transformations(self, place: LinePlace) -> list[str]:
        return self.names.transformations(self._manifests(place), _env(place))

    def _runs(self, place: LinePlace) -> list[str]:
        manifests = self._manifests(place)
        if place.command == ("cancel",):
            return self.names.runs(manifests, _env(place), unfinished=True)
        runs = self.names.runs(manifests, _env(place))
        return ["last", *runs] if runs else []


def _env(place: LinePlace) -> str:
    return place.given.get("env", [""])[-1]


def _options(place: LinePlace, typed: str) -> list[str]:
    names = (max(x.option_strings, key=len) for x in place.options)
    return sorted(name for name in names if name.startswith(typed))


def _starting(texts: Iterable[str], typed: str) -> list[str]:
    """Return the *texts* that start with *typed*, ignoring case and without duplicates."""
    folded = typed.casefold()
    return [text for text in dict.fromkeys(texts) if text.casefold().startswith(folded)]


def matcher_of(names: Callable[[], LocalNames]) -> Any:
    """Return a matcher for ``IPCompleter.custom_matchers``. If completion fails, it finds nothing.

    Args:
        names: returns the names; called for each line that is completed.
    """

    @context_matcher(identifier=IDENTIFIER)  # type: ignore[untyped-decorator]
    def odibi_matcher(context: Any) -> dict[str, Any]:
        line, column = context.line_with_cursor, context.cursor_position
        try:
            found = Completer(names()).find(
                line[:column], context.full_text, line[column:], first=context.cursor_line == 0
            )
        except Exception:  # noqa: BLE001  no completion is better than a traceback
            found = NOTHING
        return {
            "completions": [SimpleCompletion(text=text, type=found.kind) for text in found.texts],
            "matched_fragment": found.fragment,
            "suppress": bool(found.texts),
            "ordered": True,
        }

    return odibi_matcher
