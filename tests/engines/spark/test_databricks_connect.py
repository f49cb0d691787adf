"""``"remote": "databricks"`` uses Databricks Connect from another machine, with Databricks' builder."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from spark_sessions import connect, place

from odibi_nb.engines.lake import Lake
from odibi_nb.engines.spark import session as spark_session
from odibi_nb.engines.spark.engine import SparkEngine
from odibi_nb.errors import DataError, EngineError, ManifestError
from odibi_nb.wiring import only_spark_reaches


class Builder:
    """The builder of ``DatabricksSession``: each call returns another one; the last one opens *session*."""

    def __init__(self, session, said=()):
        self.session, self.said = session, said

    def profile(self, name):
        return Builder(self.session, (*self.said, ("profile", name)))

    def clusterId(self, name):
        return Builder(self.session, (*self.said, ("cluster", name)))

    def serverless(self, wanted):
        return Builder(self.session, (*self.said, ("serverless", wanted)))

    def getOrCreate(self):
        return self.session(self.said)


@pytest.fixture
def databricks(monkeypatch):
    """Makes Databricks Connect: databricks(session) opens what session(said) returns."""

    def install(session):
        package, module = ModuleType("databricks"), ModuleType("databricks.connect")
        package.__path__ = []
        module.__spec__ = type(sys.__spec__)("databricks.connect", None)
        module.DatabricksSession = type("DatabricksSession", (), {"builder": Builder(session)})
        monkeypatch.setitem(sys.modules, "databricks", package)
        monkeypatch.setitem(sys.modules, "databricks.connect", module)

    return install


@pytest.fixture
def sail(tmp_path):
    """A Connect session like one of Databricks. Nothing of it is cached for other tests."""
    spark = connect("sail", tmp_path).spark
    spark_session._own.clear()
    spark_session._lost.add(spark)  # it is not the active session of the notebook
    yield spark
    spark_session._lost.discard(spark)
    spark_session._own.clear()
    spark.stop()


REMOTE = {"remote": "databricks"}


@pytest.mark.parametrize(
    ("spark", "said", "why"),
    [
        ({}, (), "Databricks Connect to the profile's cluster"),
        (
            {"profile": "dev", "cluster": "0123-abc"},
            (("profile", "dev"), ("cluster", "0123-abc")),
            "Databricks Connect to cluster 0123-abc, profile dev",
        ),
        (
            {"serverless": True},
            (("serverless", True),),
            "Databricks Connect to serverless compute",
        ),
    ],
)
def test_the_session_is_the_one_that_the_manifest_names(
    databricks, sail, tmp_path, spark, said, why
):
    """The builder gets profile, cluster or serverless. One session is reused, and we never end it."""
    asked = []
    databricks(lambda given: asked.append(given) or sail)
    there = place(tmp_path, {**REMOTE, **spark})
    assert why in spark_session.planned(there)
    assert asked == []
    found = spark_session.connect(there)
    assert (found.why, found.kind, found.own) == (why, "connect", False)
    assert spark_session.connect(there) is found
    assert asked == [said]
    with pytest.raises(DataError, match=r"is a folder of this machine, which .* cannot reach"):
        _ = SparkEngine(lambda: found, Lake(str(tmp_path / "lake"))).connection


def test_what_is_wrong_is_said_all_at_once(tmp_path):
    """The problems are values of a wrong type, two kinds of compute, and options without their remote."""
    wrong = {**REMOTE, "profile": "", "cluster": 7, "serverless": True, "host": "x"}
    with pytest.raises(ManifestError) as caught:
        spark_session.planned(place(tmp_path, wrong))
    message = str(caught.value)
    assert all(f".spark.{name}" in message for name in ("profile", "cluster", "host"))
    assert "cannot be combined with 'serverless'" in message
    with pytest.raises(ManifestError, match=r"is not a Spark setting: .*\.spark\.cluster"):
        spark_session.planned(place(tmp_path, {"remote": "sail", "cluster": "x"}))


def test_without_databricks_connect_a_run_says_what_to_install(tmp_path, monkeypatch):
    """The plan reports a missing or wrong library before a run does, with the version to install."""
    monkeypatch.setitem(sys.modules, "databricks", None)
    for act in (spark_session.planned, spark_session.connect):
        with pytest.raises(
            EngineError, match=r"needs Databricks Connect, .*databricks-connect=="
        ) as e:
            act(place(tmp_path, REMOTE))
        assert "\n" not in str(e.value)


def test_compute_that_cannot_be_reached_is_one_message(databricks, tmp_path):
    """Databricks' error about a login or a cluster is kept, without its token."""

    def refuses(said):
        raise ValueError("cluster 0123-abc: token dapi" + "0123456789abcdef" * 2 + " is invalid")

    databricks(refuses)
    with pytest.raises(EngineError, match="cluster 0123-abc: no session can be opened") as caught:
        spark_session.connect(place(tmp_path, {**REMOTE, "cluster": "0123-abc"}))
    assert "dapi0123" not in str(caught.value)
    assert "databricks auth login" in str(caught.value)


def test_a_lake_at_a_url_is_the_sessions(tmp_path):
    """Before the session exists, a plan accepts that only the workspace has the keys of a URL."""
    url = "abfss://lake@plant.dfs.core.windows.net/x"
    assert only_spark_reaches(place(tmp_path, REMOTE, lake=url))
    assert not only_spark_reaches(place(tmp_path, {"remote": "sail"}, lake=url))
