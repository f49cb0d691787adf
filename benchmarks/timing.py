"""Measure contestants in turns, so that other work on the machine slows all of them."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Contestant = Callable[[], float]


def side_by_side(contestants: Sequence[Contestant], turns: int) -> list[list[float]]:
    """The seconds of each contestant in each of its *turns*, in the contestants' order.

    Each runs once to warm up, then they take turns (A B C A B C …). A contestant returns the seconds
    it took, so that what it prepares does not count. Garbage is collected before each turn: no
    contestant pays for the garbage of another.
    """
    for run in contestants:
        run()
    taken: list[list[float]] = [[] for _ in contestants]
    for _ in range(turns):
        for seconds, run in zip(taken, contestants, strict=True):
            gc.collect()
            seconds.append(run())
    return taken


def in_pairs(ours: Contestant, baseline: Contestant, pairs: int) -> tuple[list[float], list[float]]:
    """The processor's seconds of both contestants, pair by pair; each pair starts with another one.

    Processor time counts all threads of this process and no other work of the machine. The order
    alternates, so that neither contestant always runs on what the other one left in the caches.
    """
    taken: dict[Contestant, list[float]] = {ours: [], baseline: []}
    for number in range(-1, pairs):  # the first pair warms up
        for run in (ours, baseline) if number % 2 else (baseline, ours):
            gc.collect()
            start = time.process_time()
            run()
            if number >= 0:
                taken[run].append(time.process_time() - start)
    return taken[ours], taken[baseline]


def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds that *call* takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
