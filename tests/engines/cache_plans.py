"""A cache plan on a session that cannot keep tables."""

from engines.parallel_rows import runs, small
from fakes import row


def passed_over(engine, folder, capsys, reason):
    """A run with a cache plan succeeds without a warning, and one line of a layer contains *reason*."""
    look = row("B", lambda context: context.read("silver.a").count(), layer="Gold_1")
    plan = {"cache_plan": {"Silver_1": ["silver.a", "silver.b"]}}
    result = runs(engine, folder)(small("A"), look, manifest=plan, log_level="INFO")
    result.raise_for_status()
    assert result.warnings == []
    lines = [line for line in capsys.readouterr().out.splitlines() if "aching" in line]
    assert lines == [f"📦 Not caching tables after Silver_1: {reason}"]
