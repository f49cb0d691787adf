"""The panel: choose, preview, run, watch, cancel and retry, by point and click."""
