"""Everything this package raises on purpose.

::

    OdibiError
    ├── ConfigurationError        the user's input: nothing has run; exit code 2
    │   ├── ManifestError
    │   ├── SettingsError
    │   ├── RegistryError
    │   ├── PlanError
    │   │   └── CycleError
    │   ├── RunLockedError
    │   └── HookError
    ├── DataError                 a file or table cannot be read or written as asked
    │   ├── TableNotFoundError
    │   └── DataCheckError
    ├── EngineError
    │   └── EngineNotAvailableError
    ├── RevokedError              a cancelled or timed-out transformation tried to go on
    ├── RunFailedError            only from ``RunResult.raise_for_status()``; exit code 1
    └── TrialFailedError          only from ``Trial.raise_for_status()``

A transformation's own failure is a *result* and is never raised by the runner.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class Problem(NamedTuple):
    """One thing wrong with the user's input: where it stands, and what is wrong there."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} - at {self.where}" if self.where else self.message


MAX_PROBLEMS = 200
"""Problems that a message lists; `ConfigurationError.problems` has all."""
MAX_PROBLEM = 4_000


def _cut(text: str) -> str:
    return text if len(text) <= MAX_PROBLEM else f"{text[:MAX_PROBLEM]}… ({len(text):,} characters)"


class OdibiError(Exception):
    """Base of all errors raised on purpose."""


class ConfigurationError(OdibiError):
    """The user's input cannot be used; nothing has run.

    Attributes:
        source: what was read (a path, a table, a command).
        problems: everything wrong with it, in the order in which it stands there.
    """

    def __init__(self, source: str, problems: Iterable[Problem | str]) -> None:
        self.source = source
        found = (p if isinstance(p, Problem) else Problem("", p) for p in problems)
        self.problems = tuple(dict.fromkeys(found))
        super().__init__(source, self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.source}: {_cut(str(self.problems[0]))}"
        lines = [f"\n  - {_cut(str(problem))}" for problem in self.problems[:MAX_PROBLEMS]]
        more = len(self.problems) - MAX_PROBLEMS
        lines += [f"\n  … and {more:,} more"] if more > 0 else []
        return f"{self.source}: {len(self.problems)} problems{''.join(lines)}"


class ManifestError(ConfigurationError):
    """A manifest is missing, malformed, or names things that do not exist."""


class SettingsError(ConfigurationError):
    """A settings file, environment variable or command option has a value it cannot have."""


class RegistryError(ConfigurationError):
    """The TransformationRegistry cannot be read, or rows in it cannot be understood."""


class PlanError(ConfigurationError):
    """Manifest and registry rows do not add up to something that can be run."""


class CycleError(PlanError):
    """Transformations wait for each other in a circle.

    Attributes:
        cycle: transformation ids along the circle; the first is also the last.
    """

    def __init__(self, source: str, cycle: Iterable[str]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(
            source, [f"transformations wait for each other: {' -> '.join(self.cycle)}"]
        )


class RunLockedError(ConfigurationError):
    """Another run of the same project and environment is going on."""


class HookError(ConfigurationError):
    """A listener cannot be registered as asked."""


class DataError(OdibiError):
    """A file or table cannot be read or written as asked; the message says which and why."""


class TableNotFoundError(DataError):
    """A table does not exist.

    Attributes:
        table: its name as asked for.
    """

    def __init__(self, table: str, message: str) -> None:
        self.table = table
        super().__init__(message)


class DataCheckError(DataError):
    """What a transformation wrote, or was about to write, breaks a data check that must hold."""


class EngineError(OdibiError):
    """An engine cannot do what was asked of it."""


class EngineNotAvailableError(EngineError):
    """A library that an engine, source or sink needs is not installed.

    Attributes:
        needed_for: what was asked for.
        extra: the extra of this package that installs the library.
    """

    def __init__(self, needed_for: str, extra: str, missing: str | None = None) -> None:
        self.needed_for = needed_for
        self.extra = extra
        because = f" ({missing} is not installed)" if missing else ""
        super().__init__(f"{needed_for} is not available{because}: pip install 'odibi-nb[{extra}]'")


class RevokedError(OdibiError):
    """A transformation went on after it was cancelled or ran out of time; refused."""


class RunFailedError(OdibiError):
    """A run did not succeed.

    Attributes:
        result: the whole `RunResult`.
    """

    def __init__(self, result: Any) -> None:
        self.result = result
        super().__init__(result.summary())


class TrialFailedError(OdibiError):
    """A function that was tried out failed."""

    def __init__(self, transformation_id: str, headline: str) -> None:
        super().__init__(f"{transformation_id} failed: {headline}")


MAX_MEANT = 200
"""Characters of a name that may be misspelled; a longer text is no name, and takes long to compare."""


class Hints:
    """`did_you_mean` for many names: it takes time among thousands of ids, and people mend a few at once.

    Args:
        most: the number of names that get a hint.
        looks: the number of known names that all hints together are compared with.
    """

    def __init__(self, most: int, looks: int = 60_000) -> None:
        self._most = most
        self._looks = looks

    def __call__(self, name: str, known: Collection[str]) -> str:
        """Return what `did_you_mean` returns, or "" once the hints are used up."""
        if self._most <= 0 or self._looks <= 0:
            return ""
        self._most -= 1
        self._looks -= len(known)
        return did_you_mean(name, known)


def closest(name: str, known: Iterable[str]) -> str | None:
    """The one of *known* that *name* was probably meant to be; None when none is close.

    A *name* that is one of *known* is spelled right: something else is wrong, and there is no other
    one to propose.
    """
    known = [*known]
    if name in known or len(name) > MAX_MEANT:
        return None
    by_look: dict[str, str] = {}
    for one in known:
        by_look.setdefault(_look(one), one)
    look = _look(name)
    if look in by_look:
        return by_look[look]
    close = difflib.get_close_matches(look, by_look, n=1, cutoff=0.6)
    return by_look[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the closest of *known*, or "" when none is close.

    Where the two look alike, the text says what differs.
    """
    close = closest(name, known)
    if close is None:
        return ""
    what = _what_differs(name, close)
    return f" (did you mean {close!r}?){f', which {what}' if what else ''}"


def _look(text: str) -> str:
    """*text* without what a reader does not see: case, blanks, invisible characters, Unicode's forms."""
    if text.isascii() and text.isprintable():
        return text.lower().replace(" ", "")
    import unicodedata

    seen = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in seen if c.isprintable() and not c.isspace())


def _what_differs(name: str, close: str) -> str:
    """Name the difference of two texts that look alike; "" if a reader sees it."""
    if name.swapcase() == close:
        return ""  # in every letter's case
    if name.casefold() == close.casefold():
        return "differs in case"
    if "".join(name.split()).casefold() == "".join(close.split()).casefold():
        return "differs in blanks"
    if _look(name) != _look(close) and not _other_scripts(name, close):
        return ""
    found = [
        f"{text!a} has {_named(odd)}"
        for text, other in ((name, close), (close, name))
        if (odd := [c for c in dict.fromkeys(text) if not c.isascii() and c not in other])
    ]
    return f"looks the same, but {' and '.join(found)}" if found else ""


def _named(characters: Iterable[str]) -> str:
    import unicodedata

    return ", ".join(f"U+{ord(c):04X} {unicodedata.name(c, '')}".rstrip() for c in characters)


def _other_scripts(name: str, close: str) -> bool:
    """Return True if the texts differ only in letters of different scripts, as Latin and Cyrillic ones."""
    import unicodedata

    def script(character: str) -> str:
        return unicodedata.name(character, "").partition(" ")[0]

    differing = [(a, b) for a, b in zip(name, close, strict=False) if a != b]
    return (
        len(name) == len(close)
        and all(a.isalpha() and b.isalpha() for a, b in differing)
        and all(script(a) != script(b) for a, b in differing)
    )
