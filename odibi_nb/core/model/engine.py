"""Engines that a transformation can be written for."""

from __future__ import annotations

from enum import Enum


class Engine(str, Enum):
    """Engine that a transformation can be written for."""

    SPARK = "spark"
    PANDAS = "pandas"


ENGINES = tuple(engine.value for engine in Engine)
"""Names of the engines, as rows and manifests spell them."""
