"""Possible continuations of a command line, taken from the parser itself."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from odibi_nb.commands.parser import build_parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(slots=True)
class LinePlace:
    """A position in a command line.

    Attributes:
        command: the commands so far, such as ``("registry", "list")``.
        given: the values so far, by the argument's `dest`.
        takes: the argument whose value may come next; None if no value may.
        waits: True if a value must come next, because the option before needs one.
        options: the options that may come next.
    """

    command: tuple[str, ...] = ()
    given: dict[str, list[str]] = field(default_factory=dict)
    takes: argparse.Action | None = None
    waits: bool = False
    options: tuple[argparse.Action, ...] = ()

    def option(self, name: str) -> argparse.Action | None:
        """Return the option called *name*, if it may come next."""
        return next((x for x in self.options if name in x.option_strings), None)


def place_after(words: Iterable[str]) -> LinePlace:
    """Return the position after *words*. After an invalid word nothing may come next."""
    walk = _Walk()
    for word in words:
        walk.take(word)
    return walk.place()


def choices_of(action: argparse.Action) -> dict[str, str]:
    """Return the choices of *action* with their help; empty if it has none."""
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  argparse has no public name
        return {str(x.dest): x.help or "" for x in action._choices_actions}  # noqa: SLF001
    return {str(choice): "" for choice in action.choices or ()}


@lru_cache(maxsize=1)
def _root() -> argparse.ArgumentParser:
    return build_parser()


class _Walk:
    """A walk along the words, in the way that argparse takes them."""

    def __init__(self) -> None:
        self.command: tuple[str, ...] = ()
        self.given: dict[str, list[str]] = {}
        self.lost = False
        self.enter(_root())

    def enter(self, parser: argparse.ArgumentParser) -> None:
        self.actions: Sequence[argparse.Action] = parser._actions  # noqa: SLF001  argparse has no public list
        self.positionals = [x for x in self.actions if not x.option_strings]
        self.used: set[str] = set()
        self.option: argparse.Action | None = None
        self.missing, self.room = 0, 0.0

    def take(self, word: str) -> None:
        if word.startswith("-") and word != "-" and not self.missing:
            self._take_option(word)
        elif self.option is not None and self.room:
            self._give(self.option, word)
            self.missing, self.room = max(0, self.missing - 1), self.room - 1
        elif not self.positionals:
            self.lost = True
        else:
            self._take_positional(word)

    def _take_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        self.option = next((x for x in self.actions if name in x.option_strings), None)
        if self.option is None:
            self.lost = True
            return
        self.used.add(self.option.dest)
        self.missing, self.room = (0, 0) if equals else _numbers(self.option)
        if equals:
            self._give(self.option, value)

    def _take_positional(self, word: str) -> None:
        self.option = None
        action = self.positionals[0]
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  argparse has no public name
            if word not in action.choices:
                self.lost = True
                return
            self.command = (*self.command, word)
            self.enter(action.choices[word])
            return
        self._give(action, word)
        if len(self.given[action.dest]) >= _numbers(action)[1]:
            self.positionals.pop(0)

    def _give(self, action: argparse.Action, word: str) -> None:
        self.given.setdefault(action.dest, []).append(word)

    def place(self) -> LinePlace:
        if self.lost:
            return LinePlace(self.command, self.given)
        takes = next(iter(self.positionals), None)
        if self.option is not None and self.room:
            takes = self.option
        again = argparse._ExtendAction, argparse._AppendAction  # noqa: SLF001  no public names
        options = tuple(
            x
            for x in self.actions
            if x.option_strings and (x.dest not in self.used or isinstance(x, again))
        )
        return LinePlace(self.command, self.given, takes, bool(self.missing), options)


def _numbers(action: argparse.Action) -> tuple[int, float]:
    """Return the minimum and maximum number of values of *action*."""
    if isinstance(action.nargs, int):
        return action.nargs, action.nargs
    numbers = {"?": (0, 1), "*": (0, math.inf), "+": (1, math.inf)}
    return numbers.get(str(action.nargs), (1, 1))
