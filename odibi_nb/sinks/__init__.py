"""Adapters that store the run log: one module per kind of storage."""
