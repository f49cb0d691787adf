"""A plan before it runs: its rows, its graph, its forecast, its manifest."""
