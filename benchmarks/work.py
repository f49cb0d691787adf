"""The functions that the benchmarks' registry rows name."""

from __future__ import annotations

import time

SLEEP_SECONDS = 0.01


def nothing() -> None:
    """Do nothing."""


def pass_on(inputs, context):
    """Read the first input and return it, to be written to the row's output."""
    return context.read(inputs[0])


def sleep() -> None:
    """Wait for 10 ms, as a query elsewhere would."""
    time.sleep(SLEEP_SECONDS)


def wait() -> None:
    """Wait for 100 ms."""
    time.sleep(10 * SLEEP_SECONDS)


def say(context) -> None:
    """Print a line."""
    print("nothing to do for", context.transformation_id)
