"""The verdict on one row: whether a run would write the same outputs again, and why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

import msgspec

WILL_RUN = "will run"


class State(str, Enum):
    """State of a row's outputs."""

    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"


class StaleCause(str, Enum):
    """Kind of a reason why a row is not fresh."""

    NEW = "new"
    FAILED = "failed"
    CODE = "code"
    CONSTANTS = "constants"
    ENGINE = "engine"
    INPUT = "input"
    OUTPUT = "output"
    UPSTREAM = "upstream"
    UNKNOWN = "unknown"


class Reason(NamedTuple):
    """Reason why a row is not fresh, in words for the user.

    *upstream* is the row that will run, if that is the reason.
    """

    cause: StaleCause
    text: str
    upstream: str = ""


class Freshness(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Verdict on one row.

    Attributes:
        reasons: the reasons why the row is not fresh; empty if it is.
        success: the record of the row's newest success; None if it has none.
    """

    reasons: tuple[Reason, ...] = ()
    success: Mapping[str, Any] | None = None

    @property
    def state(self) -> State:
        """The state of the row."""
        if not self.reasons:
            return State.FRESH
        certain = any(reason.cause is not StaleCause.UNKNOWN for reason in self.reasons)
        return State.STALE if certain else State.UNKNOWN

    @property
    def waits(self) -> bool:
        """True if the row is fresh unless one of its upstream rows writes."""
        return bool(self.reasons) and all(r.cause is StaleCause.UPSTREAM for r in self.reasons)

    @property
    def why(self) -> str:
        """The reasons as text; "" for a fresh row."""
        return _joined(reason.text for reason in self.reasons)

    def why_after(self, ended: Callable[[str], bool | None]) -> str:
        """Return the reasons as text when the upstream rows have ended.

        Args:
            ended: returns True if an upstream row has run, False if it ended as unchanged, and None if the
                row is not known.
        """
        texts = []
        for reason in self.reasons:
            ran = ended(reason.upstream) if reason.upstream else None
            if ran is None:
                texts.append(reason.text)
            elif ran:
                texts.append(reason.text.replace(WILL_RUN, "ran"))
        return _joined(texts)

    def selected_by(self, word: str) -> bool:
        """Return True if ``state:`` with *word*, one of `odibi_nb.core.planning.selection.FRESHNESS`, selects the row."""
        causes = {reason.cause for reason in self.reasons}
        if word == "new":
            return StaleCause.NEW in causes
        if word == "modified":
            return bool(causes & {StaleCause.CODE, StaleCause.CONSTANTS})
        return self.state.value == word


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))
