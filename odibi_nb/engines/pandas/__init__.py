"""The embedded engine: pandas DataFrames over Delta tables, or over what a Spark session reaches."""
