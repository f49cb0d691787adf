"""Handmade plans, without manifest and registry."""

from __future__ import annotations

from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.model.transformation import Output, Transformation
from odibi_nb.core.planning.plan import PlannedRow, RunPlan

LAYERS = ("Bronze", "Silver_1", "Gold_1")


def planned(name, upstream=(), seconds=1.0, layer="Bronze", rank=0, step=None, reads=(), writes=()):
    """A row that takes *seconds*; None for one without history."""
    return PlannedRow(
        transformation=Transformation(
            transformation_id=name,
            project="P",
            environment="qat",
            layer=layer,
            module="m",
            function="f",
            step=step,
            targets=tuple(Output(table=table) for table in writes),
        ),
        fn=print,
        keywords=(),
        engine="pandas",
        retry=RetryPolicy(),
        timeout_seconds=None,
        reads=tuple(reads),
        upstream=tuple(upstream),
        rank=rank,
        expected_seconds=seconds,
    )


def plan_of(*rows, **facts):
    """A plan of these rows."""
    ordered = sorted(rows, key=lambda row: LAYERS.index(row.layer))
    defaults = {"project": "P", "env": "qat", "engine": "pandas", "source": "a list"}
    return RunPlan(**defaults, layers=LAYERS, rows={row.id: row for row in ordered}, **facts)
