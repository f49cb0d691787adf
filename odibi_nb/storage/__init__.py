"""Tables with rows of plain values, in which the registry and the run log are stored."""
