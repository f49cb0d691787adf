"""What a project consists of, as data: manifest, rows, tables, checks, events, results."""
