"""The report of a run: a page or a text that needs neither a kernel nor a network."""
