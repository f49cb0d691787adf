"""Views of a plan before it runs: its rows, graph, forecast and manifest."""
