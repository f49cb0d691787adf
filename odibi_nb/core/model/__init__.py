"""Data classes of a project: manifest, rows, tables, checks, events, results."""
