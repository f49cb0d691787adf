"""The engines that a transformation can be written for."""

from __future__ import annotations

from enum import Enum


class Engine(str, Enum):
    """The engines a transformation can be written for."""

    SPARK = "spark"
    PANDAS = "pandas"


ENGINES = tuple(engine.value for engine in Engine)
"""The names of the engines, as people write them."""
