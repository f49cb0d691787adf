"""Rules for retries of failed transformations."""

from __future__ import annotations

from typing import Annotated

import msgspec

NotNegative = msgspec.Meta(ge=0)


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Number and times of the retries of a failed transformation, and the errors that allow them.

    The wait before retry *n* (1, 2, …) is ``min(max_delay, base_delay * 2**(n-1))`` plus a random
    part of up to *jitter*, in seconds.

    If *retry_on* is empty, each error allows a retry unless *never_retry* names its class. Otherwise
    only the classes in *retry_on* allow it. A name also covers the classes derived from it. If several
    names cover an error, the class nearest to the error's own counts. If both lists name that class,
    *retry_on* counts. After a timeout the old thread may still be at work, so an attempt that timed out
    is only retried with *retry_on_timeout*.

    Attributes:
        max_retries: number of attempts after the first one.
        base_delay: seconds before the first retry.
        max_delay: upper limit of the doubled delay, in seconds.
        jitter: upper limit of the random part, in seconds.
        retry_on: names of the exception classes that allow a retry; all if empty.
        retry_on_timeout: also retry an attempt that timed out.
        never_retry: names of the exception classes that prevent a retry.
    """

    max_retries: Annotated[int, NotNegative] = 3
    base_delay: Annotated[float, NotNegative] = 2.0
    max_delay: Annotated[float, NotNegative] = 60.0
    jitter: Annotated[float, NotNegative] = 1.0
    retry_on: tuple[str, ...] = ()
    retry_on_timeout: bool = False
    never_retry: tuple[str, ...] = (
        *("ImportError", "AttributeError", "TypeError", "NameError", "LookupError", "SyntaxError"),
        *("ArithmeticError", "AssertionError", "NotImplementedError", "MemoryError"),
        *("SystemExit", "KeyboardInterrupt"),
        *("AnalysisException", "ParseException"),  # of Spark
        *("ConfigurationError", "DataError", "EngineError", "RevokedError"),  # of `odibi_nb.errors`
    )

    def delay(self, failures: int, random_part: float) -> float:
        """Return the seconds to wait after the *failures*-th failure.

        Args:
            failures: number of failures so far, from 1.
            random_part: random number from 0 to 1.
        """
        doubled = self.base_delay * 2.0 ** min(failures - 1, 30)
        return min(self.max_delay, doubled) + self.jitter * random_part

    def allows(self, error: BaseException, retries_done: int) -> bool:
        """Return True if another attempt may follow *error*."""
        if retries_done >= self.max_retries:
            return False
        for cls in type(error).__mro__:
            if cls.__name__ in self.retry_on:
                return True
            if cls.__name__ in self.never_retry:
                return False
        return not self.retry_on

    def allows_after_timeout(self, retries_done: int) -> bool:
        """Return True if another attempt may follow an attempt that timed out."""
        return self.retry_on_timeout and retries_done < self.max_retries
