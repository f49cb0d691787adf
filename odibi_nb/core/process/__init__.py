"""State of the whole process: signals, forked children, late imports, private files."""
