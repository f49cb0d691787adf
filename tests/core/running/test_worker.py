"""One attempt of a row, whatever its facts do."""

from __future__ import annotations

import time

from fakes import FakeTables
from msgspec.structs import replace
from plans import planned

from odibi_nb.core.running.capture import CapturedLog
from odibi_nb.core.running.context import ExecutionContext
from odibi_nb.core.running.worker import Attempt, run_attempt
from odibi_nb.core.text.clock import utc_now


def test_an_attempt_whose_facts_cannot_be_read_runs():
    """If neither the freshness nor the code of a row can be read, its function is called, and no code is noted."""

    def cannot(*_):
        raise OSError("storage is away")

    called = []
    row = replace(planned("A"), fn=lambda: called.append("A"))
    context = ExecutionContext(engine="pandas", project="P", env="qat", tables=FakeTables())
    ended = run_attempt(
        Attempt(
            row=row,
            facts=row.facts(1, utc_now()),
            context=context,
            log=CapturedLog(),
            started=time.monotonic(),
            code=cannot,
            look_again=cannot,
        )
    )
    assert called == ["A"]
    assert (ended.error, ended.confirmed, ended.attempt.code_hash) == (None, None, "")
