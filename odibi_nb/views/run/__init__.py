"""A run and its log: while it goes on, and afterwards."""
