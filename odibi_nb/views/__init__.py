"""What people see of a run, as data: state, text, HTML. Pure functions; no notebook needed."""
