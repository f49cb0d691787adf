"""When a failed transformation is tried again."""

from __future__ import annotations

from typing import Annotated

import msgspec

NotNegative = msgspec.Meta(ge=0)


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often, and when, a failed transformation is tried again.

    The wait before retry *n* (1, 2, …) is ``min(max_delay, base_delay * 2**(n-1))`` plus a random
    part of up to *jitter*, in seconds.

    An error is tried again unless its class is named in *never_retry*; if *retry_on* is given, only if
    it is named there. A name stands for the classes derived from it, too; the nearest one counts, and
    *retry_on* where both have it. An attempt that ran out of time is tried again only with
    *retry_on_timeout*: its thread may still be at work.

    Attributes:
        max_retries: attempts after the first one.
        base_delay: seconds before the first retry.
        max_delay: upper limit of the doubled delay, in seconds.
        jitter: upper limit of the random part, in seconds.
        retry_on: names of the exception classes that are tried again; all if empty.
        retry_on_timeout: also retry an attempt that ran out of time.
        never_retry: names of the exception classes that are not tried again.
    """

    max_retries: Annotated[int, NotNegative] = 3
    base_delay: Annotated[float, NotNegative] = 2.0
    max_delay: Annotated[float, NotNegative] = 60.0
    jitter: Annotated[float, NotNegative] = 1.0
    retry_on: tuple[str, ...] = ()
    retry_on_timeout: bool = False
    never_retry: tuple[str, ...] = (
        "ImportError",
        "AttributeError",
        "TypeError",
        "NameError",
        "LookupError",
        "SyntaxError",
        "ArithmeticError",
        "AssertionError",
        "NotImplementedError",
        "MemoryError",
        "SystemExit",
        "KeyboardInterrupt",
        "AnalysisException",
        "ParseException",
        "ConfigurationError",
        "DataError",
        "EngineError",
        "RevokedError",
    )

    def delay(self, failures: int, random_part: float) -> float:
        """Seconds to wait after the *failures*-th failure; *random_part* is from 0 to 1."""
        doubled = self.base_delay * 2.0 ** min(failures - 1, 30)
        return min(self.max_delay, doubled) + self.jitter * random_part

    def allows(self, error: BaseException, retries_done: int) -> bool:
        """Whether *error* may be followed by another attempt."""
        if retries_done >= self.max_retries:
            return False
        for cls in type(error).__mro__:
            if cls.__name__ in self.retry_on:
                return True
            if cls.__name__ in self.never_retry:
                return False
        return not self.retry_on

    def allows_after_timeout(self, retries_done: int) -> bool:
        """Whether an attempt that ran longer than it may is followed by another one."""
        return self.retry_on_timeout and retries_done < self.max_retries
