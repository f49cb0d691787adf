"""A stand-in for Databricks' serverless compute: a Connect session that refuses the same calls.

It stands between the client and Spark's own Connect server. What it refuses, and the names of the errors,
are those of Databricks' pages on the limits of serverless compute: caches, settings outside a short list, global
temporary views, and files of the driver's disk.
"""

from __future__ import annotations

SETTINGS = frozenset(
    {
        "spark.sql.ansi.enabled",
        "spark.sql.legacy.timeParserPolicy",
        "spark.sql.session.timeZone",
        "spark.sql.shuffle.partitions",
        "spark.sql.files.maxPartitionBytes",
    }
)
VERSION = "client.5.0"


class Refusing:
    """The stub of the Connect service; each request is looked at before it is sent."""

    def __init__(self, stub):
        self._stub = stub
        self.refused = []

    def __getattr__(self, name):
        return getattr(self._stub, name)

    def _refuse(self, text):
        from pyspark.errors.exceptions.connect import SparkConnectGrpcException

        self.refused.append(text)
        raise SparkConnectGrpcException(text)

    def _look(self, request):
        if any(path.startswith(("file:", "/")) for path in _paths(request)):
            self._refuse("[UC_FILE_SCHEME_FOR_TABLE_CREATION_NOT_SUPPORTED] file: is not supported")
        command = getattr(getattr(request, "plan", None), "command", None)
        if command is not None and command.create_dataframe_view.is_global:
            self._refuse("[NOT_SUPPORTED_WITH_SERVERLESS] GLOBAL TEMPORARY VIEW is not supported")

    def AnalyzePlan(self, request, **keywords):
        if request.WhichOneof("analyze") == "persist":
            self._refuse("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported")
        self._look(request)
        return self._stub.AnalyzePlan(request, **keywords)

    def ExecutePlan(self, request, **keywords):
        self._look(request)
        return self._stub.ExecutePlan(request, **keywords)

    def Config(self, request, **keywords):
        for pair in request.operation.set.pairs:
            if pair.key not in SETTINGS:
                self._refuse(f"[CONFIG_NOT_AVAILABLE] Configuration {pair.key} is not available")
        return self._stub.Config(request, **keywords)


def _paths(message):
    """Yield each path that a plan reads or writes; the data of local frames is not looked at."""
    for field, value in message.ListFields():
        if field.name in ("paths", "path"):
            yield from [value] if isinstance(value, str) else value
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for one in [value] if hasattr(value, "ListFields") else value:
                yield from _paths(one)


def make_serverless(spark):
    """Make *spark* refuse the calls that serverless compute refuses. Return the stub, whose ``refused`` lists them."""
    stub = Refusing(spark.client._stub)
    spark.client._stub = stub
    return stub
