"""Adapters that keep the run log: one module per kind of place."""
