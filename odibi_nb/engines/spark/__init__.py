"""The Spark engine: a session, its DataFrames, and access to the lake's tables through the session."""
