"""A run in the notebook while it goes on: displays, background runs, the button that cancels."""
