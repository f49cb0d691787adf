"""Make the plan of a rollback from the run log and the commits of tables."""
