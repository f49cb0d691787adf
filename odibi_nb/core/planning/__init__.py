"""Build a plan from the manifest and the registry rows: the rows to run, their order, the problems."""
