"""Load DAG files as Airflow does, and print what it found as JSON. Runs in an environment of Airflow, 2 or 3.

``python load_dags.py FILE …``
"""

import inspect
import json
import os
import sys
import tempfile

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

try:  # Airflow 3
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 2
    from airflow.models import DagBag


def _facts(dag):
    def of(task):
        for field in ("bash_command", "cwd"):  # what Airflow's templates make of it
            text = getattr(task, field)
            assert task.render_template(text, {}) == text, text
        before = sorted(task.upstream_task_ids)
        return {
            "after": before,
            "command": task.bash_command,
            "cwd": str(task.cwd),
            "retries": task.retries,
        }

    return {
        "schedule": dag.schedule_interval if hasattr(dag, "schedule_interval") else dag.schedule,
        "tags": sorted(dag.tags),
        "paused": dag.is_paused_upon_creation,
        "tasks": {task.task_id: of(task) for task in dag.tasks},
    }


def main():
    found = {}
    for path in sys.argv[1:]:
        known = inspect.signature(DagBag.__init__).parameters
        options = {"include_examples": False, "read_dags_from_db": False, "collect_dags": True}
        bag = DagBag(path, **{name: value for name, value in options.items() if name in known})
        dags = {dag_id: _facts(dag) for dag_id, dag in bag.dags.items()}
        found[path] = {"errors": list(bag.import_errors.values()), "dags": dags}
    with os.fdopen(3, "w") as answer:  # Airflow prints to the others
        json.dump(found, answer)


main()
