"""Rehearsal: one transformation, opened outside a run to inspect and try it, with captured writes."""
