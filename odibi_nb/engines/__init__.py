"""Adapters that read and write tables: one folder per engine."""
