"""The last failures of this process, with everything that was alive when they happened.

What a traceback holds on to, a failed function's DataFrames above all, is kept for the newest
`FailureKeeper.limit` of them, and of these only for the newest that hold `KEPT_BYTES` together (the
newest one whatever it holds). It is let go for the others; and when a transformation succeeds, or the
user forgets what is kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import Status
from odibi_nb.core.running.held_memory import held_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.results import RunResult

KEPT = 5
KEPT_BYTES = 512_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A transformation that failed here; *error* has its traceback, with live frames.

    Attributes:
        run_id: of the run, or "" if it was tried out.
        traceback: as text, from the user's code on.
        log: what the last attempt printed and logged.
    """

    project: str
    env: str
    transformation_id: str
    run_id: str
    error: BaseException
    traceback: str
    log: str


class FailureKeeper:
    """Keeps the newest *limit* failures, one per transformation; from any thread."""

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str], Failure] = OrderedDict()

    def note(self, result: RunResult) -> None:
        """Keep the run's failures, and forget those that it has mended.

        Of the failures of a run only the newest `KEPT` keep their frames, and no more than `KEPT_BYTES`,
        also where none is kept here: 2,000 failed rows would hold on to 2,000 inputs.
        """
        for transformation in result.transformations.values():
            if transformation.status is Status.SUCCESS:
                self.forget(result.project, result.env, transformation.transformation_id)
        failed = [t for t in result.failures() if t.error is not None]
        failed.sort(key=lambda t: t.end_time or result.end_time)
        few = _within(failed, [held_bytes(t.error) for t in failed[-KEPT:]])
        for transformation in failed[: len(failed) - few]:
            _let_go(transformation.error)
        for transformation in failed[len(failed) - few :]:
            assert transformation.error is not None
            self.keep(
                Failure(
                    project=result.project,
                    env=result.env,
                    transformation_id=transformation.transformation_id,
                    run_id=result.run_id,
                    error=transformation.error,
                    traceback=transformation.traceback,
                    log=transformation.log,
                )
            )

    def keep(self, failure: Failure) -> None:
        """Keep *failure*, and let go of what is too much."""
        if not self.limit:
            return
        key = (failure.project, failure.env, failure.transformation_id)
        with self._lock:
            replaced = self._kept.pop(key, None)
            self._kept[key] = failure
            gone = [replaced] if replaced is not None else []
            sizes = [held_bytes(kept.error) for kept in self._kept.values()]
            few = _within([*self._kept], sizes[-self.limit :])
            while len(self._kept) > few:
                gone.append(self._kept.popitem(last=False)[1])
        for old in gone:
            if old.error is not failure.error:
                _let_go(old.error)

    def forget(self, project: str, env: str, transformation_id: str) -> None:
        """Let go of a transformation's failure: it has succeeded since."""
        with self._lock:
            failure = self._kept.pop((project, env, transformation_id), None)
        if failure is not None:
            _let_go(failure.error)

    def held(self) -> int:
        """The bytes that all that is kept holds, as far as that can be told."""
        return sum(held_bytes(failure.error) for failure in self.newest_first())

    def newest_first(self) -> list[Failure]:
        """What is kept."""
        with self._lock:
            return [*self._kept.values()][::-1]

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            gone = [*self._kept.values()]
            self._kept.clear()
        for failure in gone:
            _let_go(failure.error)


def _within(failures: Sequence[object], sizes: Sequence[int]) -> int:
    """How many of the newest *failures* may be kept: *sizes* are those of the newest, the newest last."""
    few, total = 0, 0
    for size in reversed(sizes):
        total += size
        if few and total > KEPT_BYTES:
            break
        few += 1
    return min(few, len(failures))


def _let_go(error: BaseException | None) -> None:
    """Cut an exception, and those that led to it, from their frames."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        waiting += [one.__cause__, one.__context__]


FAILURES = FailureKeeper()
"""This process' failures; none are kept until somebody who could look at them raises the limit."""
