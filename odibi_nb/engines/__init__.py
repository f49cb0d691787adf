"""Adapters that read and write tables: one module per engine."""
