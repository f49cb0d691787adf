"""The Spark engine: a session, its DataFrames, and the lake's tables through it."""
