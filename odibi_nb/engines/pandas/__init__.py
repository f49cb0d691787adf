"""The embedded engine: pandas DataFrames over Delta tables, or over the tables of a Spark session."""
