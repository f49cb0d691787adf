"""What the core costs, in ratios to other ways of doing the same: ``python -m benchmarks``."""
