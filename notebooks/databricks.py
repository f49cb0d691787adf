# Databricks notebook source
# MAGIC %md
# MAGIC # odibi_nb on Databricks
# MAGIC Import this file, or the Git folder it is in, into a workspace: it is a notebook in Databricks' source format. Attach it to a
# MAGIC cluster with runtime 14.3 LTS or newer, and run its cells from the top. As the task of a job, with `mode` set to `job`, the same
# MAGIC notebook runs the project without a user.
# MAGIC
# MAGIC First put the wheel of odibi_nb (`python -m build --wheel` makes it) into the folder of this notebook, or name its folder, such as a
# MAGIC volume, after `--find-links`. A project whose tables are all in a catalog needs `odibi-nb[databricks]` only. The runtimes bring pyspark,
# MAGIC pandas, pyarrow, ipywidgets and Plotly, and the installation leaves them alone. **Do not** upgrade ipywidgets: it has to fit the front end.

# COMMAND ----------

# MAGIC %pip install --find-links . 'odibi-nb[databricks-pandas,sql]'

# COMMAND ----------

dbutils.library.restartPython()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Parameters
# MAGIC They are widgets above the notebook. A job fills them from its parameters of the same names.

# COMMAND ----------

dbutils.widgets.text("project", "Energy Efficiency")
dbutils.widgets.text("env", "qat")
dbutils.widgets.dropdown("mode", "interactive", ["interactive", "job"])

project = dbutils.widgets.get("project")
env = dbutils.widgets.get("env")

# COMMAND ----------

# MAGIC %load_ext odibi_nb

# COMMAND ----------

# MAGIC %md
# MAGIC ## The example, on the driver's own disk
# MAGIC Delta tables do not belong among workspace files. For a project of your own leave this cell out: its manifest's environment has
# MAGIC `"engine": "spark"`, `"lake": "catalog:main"` and `"registry": "config_driven.TransformationRegistry"`. Then registry, tables
# MAGIC and run log are tables of that catalog, and the notebook's own session reads and writes all of them, for pandas rows as well.

# COMMAND ----------

import os
import shutil
import tempfile

from odibi_nb.core.model.manifest import find_manifest
from odibi_nb.settings import load_settings

if project == "Energy Efficiency":
    example = find_manifest(project, folders=load_settings().project_dirs()).folder
    place = tempfile.mkdtemp(prefix="odibi-")
    shutil.copytree(example, f"{place}/projects/{example.name}")
    os.chdir(place)

# COMMAND ----------

# MAGIC %md
# MAGIC ## As a job
# MAGIC A notebook task with the parameters `project`, `env` and `mode = job` ends here. If a transformation failed, `raise_for_status`
# MAGIC raises: the task fails with the failed rows and their errors, and the job's retries and alerts take effect. Otherwise
# MAGIC the argument of `exit` is the task's result, for the next task to read.

# COMMAND ----------

import json

from odibi_nb import run_project

if dbutils.widgets.get("mode") == "job":
    result = run_project(project, env=env, log_level="INFO")
    result.raise_for_status()
    summary = {"run_id": result.run_id, "status": result["status"], "counts": result.counts()}
    dbutils.notebook.exit(json.dumps(summary))

# COMMAND ----------

# MAGIC %md
# MAGIC ## By hand
# MAGIC The plan shows every row that would run, with its values and all problems. It writes nothing.

# COMMAND ----------

# MAGIC %odibi plan {project} --env {env}

# COMMAND ----------

# MAGIC %md
# MAGIC Run it. The chart and the table are core widgets here, because Plotly's live figure is larger than a message may be. ■ lets
# MAGIC running rows end and starts no new ones. Pressed again, it revokes the running rows.

# COMMAND ----------

# MAGIC %odibi run {project} --env {env}

# COMMAND ----------

# MAGIC %md
# MAGIC The panel does the same with buttons: preview, run, cancel, retry.

# COMMAND ----------

# MAGIC %odibi panel {project} --env {env}

# COMMAND ----------

# MAGIC %md
# MAGIC When you have mended the cause of a failure, run only the rows that did not succeed, and the rows that need them.

# COMMAND ----------

# MAGIC %odibi retry last --project {project} --env {env}

# COMMAND ----------

# MAGIC %odibi history {project} --env {env}

# COMMAND ----------

# MAGIC %md
# MAGIC The run log is a Delta table like any other.

# COMMAND ----------

from odibi_nb import read_table

log = read_table(project, "config_driven.TransformationRunLog", env=env)
log[["run_id", "transformation_id", "status", "duration_seconds", "rows_out"]]

# COMMAND ----------

# MAGIC %md
# MAGIC ## Serverless compute
# MAGIC Serverless compute is Spark Connect: it has no RDDs and no `sparkContext`, and does not cache tables (it ignores a `cache_plan`). Its disk
# MAGIC ends with the session, together with a lake on it. Put the requirements of `%pip install` into the environment's dependencies there,
# MAGIC so that every task has them.
