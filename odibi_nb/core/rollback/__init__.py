"""Decide what a rollback restores: from the run log and the commits of tables to a plan."""
