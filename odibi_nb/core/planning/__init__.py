"""From manifest and rows to a plan: what would run, in which order, and what is wrong with it."""
