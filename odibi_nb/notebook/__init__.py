"""The IPython face: magic, live display, where we are."""
