"""Facts of an attempt: one source for payloads, records and results."""

from __future__ import annotations

import datetime as dt
import re

import msgspec
from plans import planned

from odibi_nb.core.model.attempt_facts import AttemptFacts
from odibi_nb.core.model.events import EventType, Status

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.timezone.utc)


def test_every_fact_is_documented():
    """The reference documents each field of the facts, in their order, and nothing else."""
    documented = re.findall(r"^        (\w+): ", AttemptFacts.__doc__, re.MULTILINE)
    assert documented == [field.name for field in msgspec.structs.fields(AttemptFacts)]


def test_payload_and_result_agree():
    """The payload and the result of an attempt have the same values under the same names."""
    facts = msgspec.structs.replace(
        planned("A", reads=["raw.x"], writes=["t.A"]).facts(2, NOW),
        status=Status.FAILED,
        end_time=NOW,
        duration_seconds=1.5,
        rows_in=3,
        error_type="KeyError",
        error_message="'x'",
    )
    payload = facts.payload(EventType.TRANSFORM_FAILURE)
    result = facts.result(attempts=2, start_time=NOW, duration_seconds=1.5)
    shared = payload.keys() & set(result.__dataclass_fields__) - {"checks", "error"}
    assert {name: payload[name] for name in shared} == {
        name: getattr(result, name) for name in shared
    }
    assert len(shared) == 19
    assert result.reason == "KeyError: 'x'"
    assert payload["error"] == "'x'"


def test_a_running_attempt_has_no_end():
    """The payload of a start has neither status nor times: nothing is known of the end."""
    payload = planned("A").facts(1, NOW).payload(EventType.TRANSFORM_START)
    assert not payload.keys() & {"status", "start_time", "end_time", "duration_seconds", "reason"}
