"""A run: the orchestrator, the coordinator, the workers, and the context of a function."""
