"""Uses of Spark that Spark Connect or Databricks' serverless compute refuses, found in source text.

Spark refuses them only when the row runs. The plan reports them earlier. The lists follow
Spark's documentation of Spark Connect, and Databricks' page about limits of serverless compute.
"""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.functions.source import source_of, with_helpers
from odibi_nb.core.process.compute import Kind, find_compute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONNECT, SERVERLESS = "Spark Connect", "serverless compute"
_ON_CONNECT = {
    "sparkContext": "use the session: spark.createDataFrame, spark.range",
    "rdd": "use DataFrame methods, or mapInPandas",
    "_jvm": "Python cannot reach a JVM",
    "_jsc": "Python cannot reach a JVM",
    "_jdf": "Python cannot reach a JVM",
}
"""Attributes that no session of Spark Connect has, with the remedy."""
_CALLS_ON_SERVERLESS = {
    "cache": "leave it out, or write an intermediate table",
    "persist": "leave it out, or write an intermediate table",
    "checkpoint": "write an intermediate table",
    "createGlobalTempView": "use createTempView",
    "createOrReplaceGlobalTempView": "use createOrReplaceTempView",
}
"""Methods without arguments, or of DataFrames only, that serverless compute refuses, with the remedy."""
_NO_ARGUMENTS = frozenset({"cache", "persist", "checkpoint"})
"""Methods that count only without positional arguments: other objects have methods of these names."""
_SETTINGS = frozenset(
    {
        "spark.sql.legacy.timeParserPolicy",
        "spark.sql.session.timeZone",
        "spark.sql.shuffle.partitions",
        "spark.sql.ansi.enabled",
        "spark.sql.files.maxPartitionBytes",
        "spark.databricks.execution.timeout",
    }
)
"""Settings that serverless compute accepts."""


class Refused(NamedTuple):
    """A use of Spark that *where*, a kind of session, refuses; and the remedy."""

    use: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"uses {self.use}, which {self.where} refuses: {self.remedy}"


def session_limits(remote: object, session: Any) -> str:
    """Return `CONNECT` or `SERVERLESS` if the Spark session of a run has their limits, else "".

    Looks at nothing that would start a session.

    Args:
        remote: the environment's setting ``spark.remote``.
        session: the session that the run was given; None without one.
    """
    kind = find_compute().kind
    if kind is Kind.SERVERLESS:
        return SERVERLESS
    own = any(name in os.environ for name in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED"))
    given = ".connect." in f"{type(session).__module__}."
    return CONNECT if remote or own or given or kind is Kind.CONNECT else ""


def refused_uses(fn: Callable[..., Any], limits: str) -> list[Refused]:
    """Return the calls in *fn*, or in functions of its module that it uses, that *limits* refuse.

    This only searches the text. So a reported use may never run, and uses in other modules are missed.
    """
    source = source_of(fn)
    if source is None or source.ready_made:
        return []
    return [*dict.fromkeys(_refused(ast.parse(with_helpers(source)), limits))]


def notices(functions: Mapping[str, Callable[..., Any]], limits: str) -> list[str]:
    """Return a notice for each row whose function *limits* would refuse.

    Args:
        functions: row id to the row's function.
        limits: the result of `session_limits`; "" for none.
    """
    if not limits:
        return []
    known: dict[int, list[Refused]] = {}
    lines = []
    for name, fn in functions.items():
        if id(fn) not in known:
            known[id(fn)] = refused_uses(fn, limits)
        lines += [f"row {name!r}: its function {refused}" for refused in known[id(fn)]]
    return lines


def _refused(tree: ast.AST, limits: str) -> Iterator[Refused]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _ON_CONNECT:
            yield Refused(node.attr, limits, _ON_CONNECT[node.attr])
        elif limits == SERVERLESS and isinstance(node, ast.Call):
            yield from _refused_call(node)


def _refused_call(node: ast.Call) -> Iterator[Refused]:
    called = node.func
    if not isinstance(called, ast.Attribute):
        return
    name = called.attr
    if name in _CALLS_ON_SERVERLESS and not (name in _NO_ARGUMENTS and node.args):
        yield Refused(f".{name}()", SERVERLESS, _CALLS_ON_SERVERLESS[name])
    on_conf = isinstance(called.value, ast.Attribute) and called.value.attr == "conf"
    if name == "set" and on_conf and node.args and isinstance(node.args[0], ast.Constant):
        setting = str(node.args[0].value)
        if setting not in _SETTINGS:
            yield Refused(f"spark.conf.set({setting!r})", SERVERLESS, "leave it out")
