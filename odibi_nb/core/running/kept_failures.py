"""The last failures of this process, with the live frames of their tracebacks.

A traceback holds the variables of its frames, above all the DataFrames of a failed function. At most
`FailureKeeper.limit` failures keep their frames: the newest ones, as long as they hold no more than
`KEPT_BYTES` together. The newest failure keeps its frames whatever their size. A failure is released
when its transformation succeeds, or when the user clears all failures.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import DONE
from odibi_nb.core.running.held_memory import held_bytes, with_causes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.results import RunResult

KEPT = 5
KEPT_BYTES = 512_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A transformation that failed in this process. *error* has its traceback, with live frames.

    Attributes:
        run_id: id of the run; "" if the user tried the transformation.
        traceback: the traceback as text, from the user's code on.
        log: the captured log of the last attempt.
    """

    project: str
    env: str
    transformation_id: str
    run_id: str
    error: BaseException
    traceback: str
    log: str


class FailureKeeper:
    """Store of the newest *limit* failures, one per transformation. Any thread may use it."""

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str], Failure] = OrderedDict()

    def note(self, result: RunResult) -> None:
        """Store the run's failures, and release failures of transformations that succeeded in it.

        Only the newest `KEPT` failures of a run keep their frames, up to `KEPT_BYTES`, even if *limit* is
        0: in the result, 2,000 failed rows would hold 2,000 inputs in memory.
        """
        for transformation in result.transformations.values():
            if transformation.status in DONE:
                self.forget(result.project, result.env, transformation.transformation_id)
        failed = [t for t in result.failures() if t.error is not None]
        failed.sort(key=lambda t: t.end_time or result.end_time)
        few = _within([held_bytes(t.error) for t in failed[-KEPT:]])
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
        """Store *failure*, and release the oldest failures beyond the limits."""
        if not self.limit:
            return
        key = (failure.project, failure.env, failure.transformation_id)
        with self._lock:
            replaced = self._kept.pop(key, None)
            self._kept[key] = failure
            gone = [replaced] if replaced is not None else []
            sizes = [held_bytes(kept.error) for kept in self._kept.values()]
            few = _within(sizes[-self.limit :])
            while len(self._kept) > few:
                gone.append(self._kept.popitem(last=False)[1])
        for old in gone:
            if old.error is not failure.error:
                _let_go(old.error)

    def forget(self, project: str, env: str, transformation_id: str) -> None:
        """Release the failure of a transformation that has succeeded since."""
        with self._lock:
            failure = self._kept.pop((project, env, transformation_id), None)
        if failure is not None:
            _let_go(failure.error)

    def held(self) -> int:
        """Return the estimated bytes that the stored failures hold."""
        return sum(held_bytes(failure.error) for failure in self.newest_first())

    def newest_first(self) -> list[Failure]:
        """Return the stored failures, newest first."""
        with self._lock:
            return [*self._kept.values()][::-1]

    def clear(self) -> None:
        """Release all failures."""
        with self._lock:
            gone = [*self._kept.values()]
            self._kept.clear()
        for failure in gone:
            _let_go(failure.error)


def _within(sizes: Sequence[int]) -> int:
    """Return how many of the newest failures to keep; *sizes* are their bytes, the newest last."""
    few, total = 0, 0
    for size in reversed(sizes):
        total += size
        if few and total > KEPT_BYTES:
            break
        few += 1
    return few


def _let_go(error: BaseException | None) -> None:
    """Remove the frames of an exception and of its causes."""
    for one in with_causes(error):
        one.__traceback__ = None


FAILURES = FailureKeeper()
"""The failures of this process. The limit is 0 until an interface that can show them raises it."""
