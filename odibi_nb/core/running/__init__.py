"""A run: the orchestrator, its coordinator and workers, and what a function gets while it runs."""
