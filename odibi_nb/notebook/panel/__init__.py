"""The panel: run projects by point and click."""
