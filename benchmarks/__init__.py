"""Costs of the core, as ratios to other ways to do the same work: ``python -m benchmarks``."""
