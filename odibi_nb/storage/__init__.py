"""Rows of plain values in tables: what the registry and the run log are kept in."""
