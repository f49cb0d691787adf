"""Views of runs, plans and rows: state, text and HTML. Pure functions; no notebook needed."""
