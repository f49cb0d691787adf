"""Files with which other schedulers run a project: Databricks, Airflow, GitHub Actions."""
