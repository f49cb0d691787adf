"""All errors that this package raises on purpose.

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
    ├── DataError                 a file or table cannot be read or written
    │   ├── TableNotFoundError
    │   └── DataCheckError
    ├── EngineError
    │   └── EngineNotAvailableError
    ├── RevokedError              a cancelled or timed-out transformation tried to continue
    ├── RunFailedError            only from ``RunResult.raise_for_status()``; exit code 1
    └── TrialFailedError          only from ``Trial.raise_for_status()``

The runner never raises the failure of a transformation. The failure is part of the *result*.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path


class Problem(NamedTuple):
    """One error in the user's input: its location, and a message."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} - at {self.where}" if self.where else self.message


MAX_PROBLEMS = 200
"""Maximum number of problems in a message. `ConfigurationError.problems` has all of them."""
MAX_PROBLEM = 4_000


def _cut(text: str) -> str:
    return text if len(text) <= MAX_PROBLEM else f"{text[:MAX_PROBLEM]}… ({len(text):,} characters)"


class OdibiError(Exception):
    """Base class of all errors that this package raises on purpose."""


class ConfigurationError(OdibiError):
    """The user's input cannot be used; nothing has run.

    Attributes:
        source: the input: a path, a table or a command.
        problems: all problems of the input, in its order.
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
    """A settings file, environment variable or command option has an invalid value."""


class RegistryError(ConfigurationError):
    """The TransformationRegistry cannot be read, or some of its rows are malformed."""


class PlanError(ConfigurationError):
    """The manifest and the registry rows do not make a plan that can run."""


class CycleError(PlanError):
    """Transformations depend on each other in a cycle.

    Attributes:
        cycle: the transformation ids along the cycle; the last is the first again.
    """

    def __init__(self, source: str, cycle: Iterable[str]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(
            source, [f"transformations wait for each other: {' -> '.join(self.cycle)}"]
        )


class RunLockedError(ConfigurationError):
    """Another run of the same project and environment is in progress.

    Attributes:
        run_id: its id; "" if it is unknown.
        owner: its process, user and start, in words.
        state_dir: the folder with its journal.
    """

    def __init__(
        self,
        source: str,
        problems: Iterable[Problem | str],
        run_id: str = "",
        owner: str = "",
        state_dir: Path | None = None,
    ) -> None:
        super().__init__(source, problems)
        self.run_id, self.owner, self.state_dir = run_id, owner, state_dir


class HookError(ConfigurationError):
    """A listener cannot be registered, or an event cannot be emitted."""


class DataError(OdibiError):
    """A file or table cannot be read or written. The message names it and the reason."""


class TableNotFoundError(DataError):
    """A table does not exist.

    Attributes:
        table: its name, as the caller gave it.
    """

    def __init__(self, table: str, message: str) -> None:
        self.table = table
        super().__init__(message)


class DataCheckError(DataError):
    """The data that a transformation wrote, or was about to write, breaks a check that must hold."""


class EngineError(OdibiError):
    """An engine cannot do the requested operation."""


class EngineNotAvailableError(EngineError):
    """A library that an engine, source or sink needs is not installed.

    Attributes:
        needed_for: the feature that needs the library.
        extra: the extra of this package that installs the library.
    """

    def __init__(self, needed_for: str, extra: str, missing: str | None = None) -> None:
        self.needed_for = needed_for
        self.extra = extra
        because = f" ({missing} is not installed)" if missing else ""
        super().__init__(f"{needed_for} is not available{because}: pip install 'odibi-nb[{extra}]'")


class RevokedError(OdibiError):
    """A transformation tried to continue after it was cancelled or timed out."""


class RunFailedError(OdibiError):
    """A run did not succeed.

    Attributes:
        result: the `RunResult` of the run.
    """

    def __init__(self, result: Any) -> None:
        self.result = result
        super().__init__(result.summary())


class TrialFailedError(OdibiError):
    """The function of a transformation failed when the user tried it."""

    def __init__(self, transformation_id: str, headline: str) -> None:
        super().__init__(f"{transformation_id} failed: {headline}")


MAX_MEANT = 200
"""Maximum length of a misspelled name. A longer text is not a name, and takes long to compare."""


MAX_HINTS = 20
"""Number of names that `Hints` suggests something for."""
MAX_LOOKS = 60_000
"""Number of known names that `Hints` compares with, summed over all hints."""


class Hints:
    """`did_you_mean` for many names, with a limit.

    A comparison with thousands of ids takes time, and users correct only a few names at once.
    """

    def __init__(self) -> None:
        self._most = MAX_HINTS
        self._looks = MAX_LOOKS

    def __call__(self, name: str, known: Collection[str]) -> str:
        """Return the hint of `did_you_mean`, or "" once the limit is reached."""
        if self._most <= 0 or self._looks <= 0:
            return ""
        self._most -= 1
        self._looks -= len(known)
        return did_you_mean(name, known)


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the name in *known* that *name* was probably meant to be, or None if none is close.

    Return None also if *name* itself is in *known*: its spelling is right, and the error is elsewhere.
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
    """Return " (did you mean 'x'?)" for the closest of *known*, or "" if none is close.

    If the two names look alike, the text names the difference.
    """
    close = closest(name, known)
    if close is None:
        return ""
    what = _what_differs(name, close)
    return f" (did you mean {close!r}?){f', which {what}' if what else ''}"


def _look(text: str) -> str:
    """Remove differences that readers miss: case, blanks, invisible characters, Unicode forms."""
    if text.isascii() and text.isprintable():
        return text.lower().replace(" ", "")
    import unicodedata

    seen = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in seen if c.isprintable() and not c.isspace())


def _what_differs(name: str, close: str) -> str:
    """Describe the difference of two names that look alike; return "" if a reader can see it."""
    if name.swapcase() == close:
        return ""  # every letter differs in case, which a reader sees
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
    """Return True if the texts differ only in the scripts of letters, such as Latin and Cyrillic."""
    import unicodedata

    def script(character: str) -> str:
        return unicodedata.name(character, "").partition(" ")[0]

    differing = [(a, b) for a, b in zip(name, close, strict=False) if a != b]
    return (
        len(name) == len(close)
        and all(a.isalpha() and b.isalpha() for a, b in differing)
        and all(script(a) != script(b) for a, b in differing)
    )
