"""The lineage of every run, with OpenLineage (``pip install 'odibi-nb[openlineage]'``).

To send the lineage of single runs::

    from odibi_nb import HookManager, run_project
    from odibi_nb.listeners import openlineage

    hooks = HookManager()
    openlineage.register(hooks, namespace="lakehouse-qat")
    run_project("Energy Efficiency", hooks=hooks)

To send it for every run, declare an entry point in the ``pyproject.toml`` of any installed package::

    [project.entry-points."odibi_nb.hooks"]
    openlineage = "odibi_nb.listeners.openlineage:register"

OpenLineage's own configuration decides where events go: ``openlineage.yml``, or environment variables
such as ``OPENLINEAGE_URL``. The variable ``OPENLINEAGE_NAMESPACE`` sets the namespace, by default
``odibi``. Jobs and tables have the same names in every environment, so give each environment a
namespace of its own.

Events
======

================================  ==================================================================
job ``<project>``                 the whole run: START, then COMPLETE, FAIL or ABORT (cancelled)
job ``<project>.<layer>.<id>``    an attempt of a transformation: START, then COMPLETE, FAIL or ABORT
                                  (cancelled or abandoned). A retry is a run of its own. A row that
                                  never started has no events.
================================  ==================================================================

An attempt has these facets: ``parent`` (the whole run), ``tags`` (run_id, env, engine and attempt, to
find its record in the run log), ``jobType``, ``errorMessage`` if it did not succeed, and, if the
registry row has one output, ``outputStatistics`` with the number of written rows. Datasets are the
tables that the registry row names. Their names include the schema and are in lower case, so that
equal tables have equal names. When an attempt has ended, a dataset has the facet ``version`` with the
version of the table that was read or written, if the run log has it. `lineage_run_id` computes the run ids, so a record of the run log leads
to its lineage.

Events are sent in order in the background, so a slow server does not delay transformations. Ten
seconds after the end of the run, the listener drops unsent events, and the run gets one warning. If
the server accepts no event, it does so after two seconds, or after five with a transport that has its
own queue.
"""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import ENDED, EventType
from odibi_nb.core.model.tables import TableName, is_location, redact_url
from odibi_nb.core.text.redaction import error_text
from odibi_nb.errors import EngineNotAvailableError, HookError
from odibi_nb.listeners import register_once
from odibi_nb.listeners.sending import BackgroundSender
from odibi_nb.version import __version__

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping

    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    from odibi_nb.core.running.hooks import HookManager

DEFAULT_NAMESPACE = "odibi"
WHAT = "lineage events"
PRODUCER = f"urn:odibi-nb:{__version__}"
_IDS = uuid.uuid5(uuid.NAMESPACE_OID, "odibi_nb")
_STATES = {
    "SUCCESS": "COMPLETE",
    "UNCHANGED": "COMPLETE",
    "FAILED": "FAIL",
}  # every other status is an ABORT


def lineage_run_id(
    run_id: str, transformation_id: str | None = None, attempt: int | None = None
) -> str:
    """Return the UUID of an attempt in the lineage; with *run_id* alone, the UUID of the whole run."""
    return str(uuid.uuid5(_IDS, json.dumps([run_id, transformation_id, attempt])))


def register(
    hooks: HookManager,
    *,
    namespace: str | None = None,
    client: OpenLineageClient | None = None,
) -> None:
    """Send the lineage of the runs that use *hooks*.

    A second call for the same HookManager changes nothing, unless it gives a *namespace* or
    a *client*. Then the new listener replaces the earlier one.

    Args:
        hooks: the HookManager that `run_project` gets, or passes to an entry point.
        namespace: of jobs and tables; if None, ``OPENLINEAGE_NAMESPACE`` or ``odibi``.
        client: sends the events, and stays open. If None, each run creates its own client from
            OpenLineage's configuration.

    Raises:
        EngineNotAvailableError: if OpenLineage is not installed.
    """
    try:
        import openlineage.client  # noqa: F401
    except ImportError as exc:
        needed_for = "lineage with OpenLineage"
        raise EngineNotAvailableError(needed_for, "openlineage", "openlineage-python") from exc
    place = namespace or os.environ.get("OPENLINEAGE_NAMESPACE") or DEFAULT_NAMESPACE
    given = namespace is not None or client is not None
    register_once(hooks, OpenLineageListener(place, client), replace=given)


class OpenLineageListener:
    """A listener that sends the events of any number of runs, consecutive or concurrent."""

    def __init__(self, namespace: str, client: OpenLineageClient | None) -> None:
        self._namespace = namespace
        self._client = client
        self._runs: dict[str, _RunLineage] = {}

    def __repr__(self) -> str:
        return "OpenLineage"

    def __call__(self, payload: Mapping[str, Any]) -> None:
        """Send one event. Events of a run without a recorded start are ignored.

        Raises:
            HookError: if OpenLineage's configuration is not valid.
            OdibiError: at the end of a run, if some of its events could not be sent.
        """
        event, run_id = EventType(payload["event"]), str(payload.get("run_id"))
        if event is EventType.RUN_START:
            self._runs[run_id] = _RunLineage(self._namespace, self._sender(), payload)
        elif event is EventType.RUN_END:
            if run := self._runs.pop(run_id, None):
                run.end(payload)
        elif run := self._runs.get(run_id):
            run.tell(event, payload)

    def _sender(self) -> BackgroundSender:
        from openlineage.client import OpenLineageClient

        if self._client is not None:
            return BackgroundSender(WHAT, self._client.emit)
        try:
            client = OpenLineageClient()
        except (Exception, SystemExit) as exc:  # the chosen transport can raise anything
            why = f"its configuration cannot be used: {error_text(exc)}"
            raise HookError("OpenLineage", [why]) from exc
        # Without close(), a transport with its own thread loses its unsent events.
        return BackgroundSender(WHAT, client.emit, client.close)


class _RunLineage:
    """One run of a project: the job that is the parent of its transformations' jobs."""

    def __init__(
        self, namespace: str, sender: BackgroundSender, payload: Mapping[str, Any]
    ) -> None:
        self._namespace = namespace
        self._sender = sender
        self._run_id: str = payload["run_id"]
        self._project: str = payload["project"]
        self._started: dict[tuple[str, int], Mapping[str, Any]] = {}  # attempts in progress
        self._send_run("START", payload)

    def tell(self, event: EventType, payload: Mapping[str, Any]) -> None:
        """Send an event between the run's start and its end."""
        if event is EventType.TRANSFORM_START:
            self._started[payload["transformation_id"], payload["attempt"]] = payload
            self._send_attempt("START", payload, payload["timestamp"])
        elif event in ENDED:
            key = payload["transformation_id"], payload["attempt"]
            if self._started.pop(key, None) is not None:
                state = _STATES.get(payload["status"], "ABORT")
                self._send_attempt(state, payload, payload["end_time"])

    def end(self, payload: Mapping[str, Any]) -> None:
        """Send the end of the run, and of attempts that have not ended.

        Raises:
            OdibiError: if some events could not be sent.
        """
        try:
            for started in self._started.values():
                self._send_attempt("ABORT", started, payload["timestamp"])
            self._send_run(_STATES.get(payload["status"].upper(), "ABORT"), payload)
        finally:
            self._sender.finish()

    def _send_run(self, state: str, payload: Mapping[str, Any]) -> None:
        error = None
        if state == "FAIL":
            error = ", ".join(f"{n} {status}" for status, n in payload["counts"].items())
        self._send(
            state,
            payload["timestamp"],
            run_uuid=lineage_run_id(self._run_id),
            job_name=self._project,
            job_type="PIPELINE",
            run_facets={**_tags(payload), **_error(error)},
        )

    def _send_attempt(self, state: str, payload: Mapping[str, Any], time: dt.datetime) -> None:
        from openlineage.client.event_v2 import InputDataset

        name = payload["transformation_id"]
        error = payload["error_message"]
        if payload["error_type"]:
            error = f"{payload['error_type']}: {error}"
        versions = _versions(_tables_read(payload))
        inputs = [
            InputDataset(self._namespace, table, facets=versions.get(table, {}))
            for table in _names(payload, "input_tables")
        ]
        self._send(
            state,
            time,
            run_uuid=lineage_run_id(self._run_id, name, payload["attempt"]),
            job_name=f"{self._project}.{payload['layer']}.{name}",
            job_type="TRANSFORMATION",
            run_facets={**self._parent(), **_tags(payload), **_error(error)},
            inputs=inputs,
            outputs=self._outputs(payload),
        )

    def _outputs(self, payload: Mapping[str, Any]) -> list[OutputDataset]:
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

        versions = _versions(payload.get("outputs_written") or ())
        outputs = [
            OutputDataset(self._namespace, table, facets=versions.get(table, {}))
            for table in _names(payload, "output_tables")
        ]
        if len(outputs) == 1 and payload["rows_out"] is not None:  # else the table is unknown
            outputs[0].outputFacets = {
                "outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(
                    rowCount=payload["rows_out"], producer=PRODUCER
                )
            }
        return outputs

    def _parent(self) -> dict[str, Any]:
        from openlineage.client.facet_v2 import parent_run

        return {
            "parent": parent_run.ParentRunFacet(
                run=parent_run.Run(runId=lineage_run_id(self._run_id)),
                job=parent_run.Job(namespace=self._namespace, name=self._project),
                producer=PRODUCER,
            )
        }

    def _send(
        self,
        state: str,
        time: dt.datetime,
        *,
        run_uuid: str,
        job_name: str,
        job_type: str,
        run_facets: dict[str, Any],
        inputs: list[InputDataset] | None = None,
        outputs: list[OutputDataset] | None = None,
    ) -> None:
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
        from openlineage.client.facet_v2 import job_type_job

        kind = job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration="ODIBI_NB", jobType=job_type, producer=PRODUCER
        )
        self._sender.put(
            RunEvent(
                eventType=RunState(state),
                eventTime=time.isoformat(),
                run=Run(runId=run_uuid, facets=run_facets),
                job=Job(namespace=self._namespace, name=job_name, facets={"jobType": kind}),
                inputs=inputs or [],
                outputs=outputs or [],
                producer=PRODUCER,
            )
        )


def _tags(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facet of the run with the keys of its record in the run log."""
    from openlineage.client.facet_v2 import tags_run

    keys = [key for key in ("run_id", "env", "engine", "attempt") if payload.get(key) is not None]
    tags = [tags_run.TagsRunFacetFields(key, str(payload[key]), "ODIBI_NB") for key in keys]
    return {"tags": tags_run.TagsRunFacet(tags=tags, producer=PRODUCER)}


def _error(message: str | None) -> dict[str, Any]:
    """Return the facet of the run with its error, if it has one."""
    from openlineage.client.facet_v2 import error_message_run

    if not message:
        return {}
    facet = error_message_run.ErrorMessageRunFacet(
        message=message, programmingLanguage="PYTHON", producer=PRODUCER
    )
    return {"errorMessage": facet}


def _names(payload: Mapping[str, Any], key: str) -> list[str]:
    """Return the tables under *key*, without duplicates."""
    names = (
        redact_url(table) if is_location(table) else TableName.parse(table).key
        for table in payload.get(key) or ()
    )
    return [*dict.fromkeys(names)]


def _tables_read(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the tables that the attempt read, itself or by its queries."""
    for read in payload.get("inputs_read") or ():
        yield from (read, *read.get("tables", ()))


def _versions(tables: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Map each of *tables* with a known version to the facets of its dataset."""
    from openlineage.client.facet_v2 import dataset_version_dataset

    return {
        table["table"]: {
            "version": dataset_version_dataset.DatasetVersionDatasetFacet(
                datasetVersion=str(table["version"]), producer=PRODUCER
            )
        }
        for table in tables
        if table.get("table") and table.get("version") is not None
    }
