"""load, try and debug on the data that a past run read; bisect, and why."""

from __future__ import annotations

import math
import shutil

import pandas as pd
import pytest
from real_project import make_project, registry_row
from seeded_failures import SeededProject
from thorough import TIMES

from odibi_nb import read_table
from odibi_nb.api import GenericProjectOrchestrator
from odibi_nb.commands import Face, execute, parse
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import WriteInfo
from odibi_nb.core.rehearsal.bisection import bisect
from odibi_nb.core.rehearsal.causes import causes_of
from odibi_nb.core.rehearsal.past_attempts import reads_in
from odibi_nb.core.running.kept_failures import FAILURES
from odibi_nb.debugging import load_transformation, try_transformation
from odibi_nb.errors import ConfigurationError, DataError, TableNotFoundError
from odibi_nb.sources.table import registry_in_database

FUNCTIONS = """
import pandas as pd


def load(constants, context):
    return context.read("data/in.csv")


def inverse(inputs, constants, context):
    frame = context.read(inputs[0])
    if (frame["x"] == 0).any():
        raise ValueError("a zero")
    return frame.assign(x=constants.get("one", 1) / frame["x"])
"""


class Project:
    """A project whose B1 copies a CSV file to bronze.x, and whose S1 fails on a zero in it."""

    def __init__(self, folder, functions=FUNCTIONS, rows=None):
        rows = rows or [
            registry_row("B1", "Bronze", "load", outputs=["bronze.x"]),
            registry_row("S1", "Silver_1", "inverse", ["bronze.x"], outputs=["silver.x"]),
        ]
        self.home = make_project(folder, rows=rows, functions=functions)
        (self.home / "data").mkdir(exist_ok=True)

    def open(self):
        return GenericProjectOrchestrator(
            project="Plant One",
            env="qat",
            engine="pandas",
            manifest_path=self.home / "manifest.json",
        )

    def run(self, *values, **options):
        if values:
            pd.DataFrame({"x": values}).to_csv(self.home / "data" / "in.csv", index=False)
        return self.open().run(retry={"max_retries": 0}, **options)

    def put(self, *values, table="bronze.x"):
        """Write a table past all runs."""
        info = WriteInfo(run_id="", transformation_id="", attempt=1)
        engine = self.open().tables("pandas")
        engine.write(pd.DataFrame({"x": values}), Output(table=table), info)

    def state(self):
        """Return the state that must not change: the versions of all tables and the bytes of registry and log."""
        engine = self.open().tables("pandas")
        versions = engine.versions(engine.tables())
        return versions, (self.home / "registry.db").read_bytes()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_failure_comes_back_on_the_data_that_broke_it(project):
    """Try --run reads each table at the version of that attempt, and not a later one."""
    project.run(1, 2).raise_for_status()
    failed = project.run(0, 2)
    project.run(4, 8, select=["B1"])
    before = project.state()
    opened = project.open()
    assert try_transformation(opened, "S1").error is None
    trial = try_transformation(opened, "S1", run=failed.run_id)
    assert str(trial.error) == "a zero"
    assert trial.inputs_of == (f"inputs as run {failed.run_id} (FAILED) read them: bronze.x v1",)
    assert f"inputs as run {failed.run_id}" in repr(trial)
    assert f"inputs as run {failed.run_id}" in trial._repr_html_()
    loaded = load_transformation(opened, "S1", run="last")
    assert loaded.inputs["bronze.x"]["x"].tolist() == [0, 2]
    assert project.state() == before


def test_what_has_no_versions_is_named(project):
    """A file has no versions: the note compares it with the recorded one."""
    project.run(1, 2)
    opened = project.open()
    (note,) = load_transformation(opened, "B1", run="last").notes[1:2]
    assert note == "file data/in.csv has no versions; size and time are as they were"
    (project.home / "data" / "in.csv").write_text("x\n1\n2\n3\n")
    (note,) = load_transformation(opened, "B1", run="last").notes[1:2]
    assert note.startswith("⚠️ file data/in.csv HAS CHANGED since (6 → 8 bytes): not reproducible")


def test_runs_that_are_not_there(project):
    """An unknown run, a run without the row, and a write with old data give one message each."""
    project.run(1, 2, select=["B1"])
    opened = project.open()
    with pytest.raises(ConfigurationError, match="has no attempt of 'S1' in the last"):
        try_transformation(opened, "S1", run="last")
    with pytest.raises(ConfigurationError, match="has no attempt of 'B1' in run 'nope'"):
        try_transformation(opened, "B1", run="nope")
    with pytest.raises(ConfigurationError, match="the result of old inputs would replace"):
        try_transformation(opened, "B1", run="last", write=True)


def test_tables_at_a_version_or_as_a_run_left_them(project):
    """read_table takes a version, or a run that wrote or read the table."""
    first = project.run(1, 2)
    project.run(4, 8)
    place = {"manifest_path": project.home / "manifest.json", "engine": "pandas"}

    def values(**which):
        return read_table("Plant One", "bronze.x", **which, **place)["x"].tolist()

    assert values() == values(version=1) == values(run="last") == [4, 8]
    assert values(version=0) == values(run=first.run_id) == [1, 2]
    with pytest.raises(ConfigurationError, match="has no such run"):
        values(run="nope")


@pytest.mark.parametrize(("number", "guilty"), [(1, 1), (5, 1), (5, 5), (16, 11)])
def test_bisect_names_the_commit(project, number, guilty):
    """Bisect finds the one of n commits that broke the row, in at most ceil(log2 n) + 1 replays."""
    project.run(1, 2).raise_for_status()
    for i in range(1, number + 1):
        project.put(*((0, i) if i >= guilty else (i, i)))
    project.run(select=["S1"])
    project.put(7, 7)
    before, said = project.state(), []
    found = bisect(project.open(), "S1", said.append)
    assert found.culprit is not None
    assert (found.culprit.table, found.culprit.version) == ("bronze.x", guilty)
    assert len(found.tries) <= math.ceil(math.log2(number)) + 1
    assert len(said) == len(found.tries)
    assert found.conclusion.startswith(f"bronze.x v{guilty} (WRITE by no run of this project")
    assert project.state() == before


def test_a_stopped_search_says_what_is_left(project):
    """An interrupt ends the search, with the range that is left, and nothing is written."""
    project.run(1, 2).raise_for_status()
    for i in range(8):
        project.put(i - 7, 1)
    project.run(select=["S1"])
    before, said = project.state(), []

    def say(line):
        said.append(line)
        if len(said) > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        bisect(project.open(), "S1", say)
    left = "stopped after 1 replay: 4 commits left, bronze.x v5 (WRITE by no run of this project"
    assert str(caught.value).startswith(left)
    assert project.state() == before


def test_bisect_says_if_it_is_not_the_data(project):
    """If the code broke the row, the good inputs fail too, and bisect reports this."""
    project.run(1, 2).raise_for_status()
    project.put(3, 3)
    project.put(4, 4)
    file = project.home / "plant_functions.py"
    file.write_text(FUNCTIONS.replace('(frame["x"] == 0)', '(frame["x"] > 0)'))
    project.run(select=["S1"])
    found = bisect(project.open(), "S1", lambda line: None)
    assert found.culprit is None
    assert found.conclusion.startswith(
        "the tables are not the cause: it fails on the inputs of run "
    )
    file.write_text(FUNCTIONS)
    found = bisect(project.open(), "S1", lambda line: None)
    assert found.conclusion.startswith("not reproduced: it succeeds on the inputs of run ")


def test_bisect_accuses_no_only_commit_if_the_code_has_changed_too(project):
    """With one commit, the good run proves the commit's guilt only if the row has its code; otherwise both sides are replayed."""
    project.run(1, 2).raise_for_status()
    project.put(3, 3)
    file = project.home / "plant_functions.py"
    file.write_text(FUNCTIONS.replace('(frame["x"] == 0)', '(frame["x"] > 0)'))
    project.run(select=["S1"])
    found = bisect(project.open(), "S1", lambda line: None)
    assert found.culprit is None
    assert found.conclusion.startswith("the tables are not the cause")
    assert [one.step for one in found.tries] == [1, 0]


FUNCTIONS_WITH_A_FILE = FUNCTIONS.replace(
    '    if (frame["x"] == 0).any():',
    '    limit = context.read("data/limit.csv")["most"][0]\n    if (frame["x"] > limit).any():',
)


def test_bisect_accuses_no_only_commit_if_a_file_has_changed_too(tmp_path):
    """A good run that read a file proves nothing, because a replay reads the file as it is now."""
    project = Project(tmp_path, FUNCTIONS_WITH_A_FILE)
    limit = project.home / "data" / "limit.csv"
    limit.write_text("most\n9\n")
    project.run(1, 2).raise_for_status()
    project.put(3, 3)
    limit.write_text("most\n0\n")
    project.run(select=["S1"])
    found = bisect(project.open(), "S1", lambda line: None)
    assert found.culprit is None
    assert found.conclusion.startswith("the tables are not the cause")


def test_bisect_accuses_no_only_commit_if_a_library_is_another_one(project, monkeypatch):
    """A good run with other versions of the libraries does not take the place of a replay."""
    with monkeypatch.context() as patched:
        patched.setattr(pd, "__version__", "0.1")
        project.run(1, 2).raise_for_status()
    project.put(0, 3)
    project.run(select=["S1"])
    found = bisect(project.open(), "S1", lambda line: None)
    assert found.culprit is not None
    assert [one.step for one in found.tries] == [1, 0]


def test_bisect_needs_a_good_and_a_bad_run(project):
    """Without a success and a later failure, bisect has nothing to search."""
    project.run(1, 2)
    with pytest.raises(ConfigurationError, match="has no success of this transformation followed"):
        bisect(project.open(), "S1", lambda line: None)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """Twenty rows that failed, each for a known reason; their inputs were rewritten afterwards."""
    return SeededProject(tmp_path_factory.mktemp("seeded"))


def test_every_seeded_failure_comes_back_and_only_with_its_run(seeded):
    """With rewritten inputs, --run reproduces 20 of 20 failures, and a try without it none."""
    opened, before = seeded.open(), seeded.state()
    rows = [seed.row for seed in seeded.seeds]
    assert [seeded.bad.transformations[row].status for row in rows] == ["FAILED"] * 20
    again = {row: try_transformation(opened, row, run=seeded.bad.run_id).error for row in rows}
    assert {row: error.args[0] for row, error in again.items()} == {
        row: seeded.bad.transformations[row].error_message.strip("'\"") for row in rows
    }
    assert seeded.state() == before
    opened.run(select=rows).raise_for_status()


def test_bisect_finds_the_commits_of_seeded_failures(seeded):
    """Bisect names the guilty commit of each failure caused by data, within its bound."""
    opened, before = seeded.open(), seeded.state()
    caused_by_data = [seed for seed in seeded.seeds if seed.table]
    for seed in caused_by_data[:: 1 if TIMES > 1 else 3]:
        found = bisect(opened, seed.row, lambda line: None)
        assert found.culprit is not None, found.conclusion
        assert found.culprit.table == seed.table
        assert found.culprit.version == found.bad.tables()[seed.table].version
        assert len(found.tries) <= math.ceil(math.log2(len(found.commits))) + 1
    assert seeded.state() == before


def test_why_names_the_true_culprit_first(seeded):
    """Why puts the true cause first in at least 18 of 20 failures, and reads only."""
    opened, before = seeded.open(), seeded.state()
    right, report = 0, []
    for seed in seeded.seeds:
        found = causes_of(opened, seed.row)
        kind, table = seed.culprit
        first = found.causes[0]
        is_right = first.kind == kind and table in first.what
        right += is_right
        report.append(f"{seed.row} {seed.means} {seed.bad}: {'' if is_right else 'WRONG '}{first}")

    assert right >= 18, "\n".join(report)
    assert seeded.state() == before


def command(project, line):
    """Return the result of a command."""
    words = [*line.split(), "--manifest", str(project.home / "manifest.json"), "--env", "qat"]
    return execute(parse(words), Face(say=lambda text: None))


@pytest.fixture
def broken(project):
    """A project whose S1 failed on a zero that its table no longer has."""
    FAILURES.limit = 5
    project.run(1, 2).raise_for_status()
    project.failed = project.run(0, 2).run_id
    project.run(4, 8, select=["B1"])
    FAILURES.clear()
    yield project
    FAILURES.clear()
    FAILURES.limit = 0


def test_debug_brings_a_failure_back_into_memory(broken):
    """Debug --run calls the function on the inputs of its failed attempt, and reports the failure."""
    report = command(broken, "debug S1 --run last")
    assert 'raise ValueError("a zero")' in report.traceback
    assert f"inputs as run {broken.failed} (FAILED) read them: bronze.x v1" in report.note
    assert [failure.transformation_id for failure in FAILURES.newest_first()] == ["S1"]
    file = broken.home / "plant_functions.py"
    file.write_text(FUNCTIONS.replace('raise ValueError("a zero")', "pass"))
    assert command(broken, "debug S1 --run last").startswith("S1 ran without an error\n")


def test_why_and_bisect_are_told_in_text_html_frames_and_json(broken):
    """The report begins with the likeliest cause; text, HTML, frame and JSON have the same."""
    found = command(broken, "why S1")
    lines = repr(found).splitlines()
    assert lines[0].startswith(
        f"S1, run {broken.failed} (FAILED): ValueError: a zero; compared with"
    )
    assert lines[1].startswith("likeliest: input bronze.x v0 → v1 (WRITE by B1 in run ")
    assert lines[-1] == "to find the commit: odibi bisect S1"
    assert "likeliest: input bronze.x v0 → v1" in found._repr_html_()
    assert found.to_frame()["kind"].tolist() == ["input"]
    document = command(broken, "why S1 --json").to_dict()
    assert (document["kind"], document["after"]) == ("why", broken.failed)
    assert document["causes"][0]["cause"] == "input"
    found = command(broken, "bisect S1")
    assert repr(found).startswith("S1: bronze.x v1 (WRITE by B1 in run ")
    assert "bronze.x v1: failed: ValueError: a zero" in repr(found)
    assert "bronze.x v1" in found._repr_html_()
    assert found.to_frame()["outcome"].tolist() == ["failed"]
    assert found.exit_code == 0


def test_why_compares_two_runs(broken):
    """Why --run A B compares any two runs; unknown ones are one message."""
    runs = [row["run_id"] for row in command(broken, "history").rows]
    found = command(broken, f"why S1 --run {runs[2]} {runs[1]}")
    assert [cause.kind for cause in found.result.causes] == ["input"]
    with pytest.raises(ConfigurationError, match="has no attempt of it in run 'nope'"):
        command(broken, f"why S1 --run nope {runs[1]}")
    with pytest.raises(ConfigurationError, match="has no failure of it: name two runs"):
        command(broken, "why B1")


def test_logs_without_inputs_are_one_message(broken, monkeypatch):
    """For logs of older versions, which lack the inputs of an attempt, nothing is guessed."""
    monkeypatch.setattr("odibi_nb.core.rehearsal.past_attempts.reads_in", lambda text: None)
    for line in ("try S1 --run last", "load S1 --run last", "bisect S1"):
        with pytest.raises(ConfigurationError, match="the run log lacks the inputs of"):
            command(broken, line)
    assert "inputs: the run log lacks the versions that it read" in repr(command(broken, "why S1"))


@pytest.mark.parametrize("text", [None, "", "x", "{}", "[1]", '[{"version": "x"}]', '{"a": 1}'])
def test_damaged_inputs_count_as_unknown(text):
    """A damaged value of inputs_read counts as unknown."""
    assert reads_in(text) in {None, ()}


def test_a_vacuumed_version_is_an_error_and_never_other_data(broken):
    """If the files of a version are gone, load, try and bisect report it, and read nothing else."""
    table = broken.home / "lake" / "bronze" / "x"
    from deltalake import DeltaTable

    DeltaTable(table).vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(DataError, match=r"bronze\.x"):
        load_transformation(broken.open(), "S1", run=broken.failed)
    assert isinstance(try_transformation(broken.open(), "S1", run=broken.failed).error, DataError)
    found = bisect(broken.open(), "S1", lambda line: None)
    assert found.culprit is None
    assert found.conclusion.startswith("stopped, because a version cannot be read any more")


def test_a_table_that_was_created_again_is_not_mistaken(broken):
    """A recreated table has other data at the same version: reading it is refused."""
    shutil.rmtree(broken.home / "lake" / "bronze" / "x")
    broken.put(1, 2)
    broken.put(1, 2)
    trial = try_transformation(broken.open(), "S1", run=broken.failed)
    assert "was created again since, so that its version 1 is gone" in str(trial.error)


def test_a_table_that_was_not_read_has_its_version_of_then(project):
    """A table that the failed attempt did not read is read at its version from the attempt's beginning."""
    project.put(4, table="bronze.early")
    project.put(5, table="bronze.late")
    text = FUNCTIONS + "\n\ndef two(inputs, context):\n    context.read(inputs[0])[0]\n"
    (project.home / "plant_functions.py").write_text(text)
    inputs = ["bronze.early", "bronze.late"]
    row = registry_row("T", "Silver_1", "two", inputs, outputs=["silver.t"])
    registry_in_database("sqlite:///registry.db", folder=project.home).upsert([row])
    project.run(select=["T"])
    project.put(6, table="bronze.late")
    loaded = load_transformation(project.open(), "T", run="last")
    assert loaded.inputs["bronze.late"]["x"].tolist() == [5]


def test_why_shows_the_code_and_the_constants_that_changed(project):
    """A changed helper of another module is shown as a diff, changed constants with their values."""
    helper = project.home / "limits.py"
    helper.write_text("def too_large(frame, most):\n    return (frame['x'] > most).any()\n")
    (project.home / "plant_functions.py").write_text(
        FUNCTIONS.replace("import pandas as pd", "import limits").replace(
            '(frame["x"] == 0).any()', 'limits.too_large(frame, constants["most"])'
        )
    )
    registry = registry_in_database("sqlite:///registry.db", folder=project.home)
    row = registry_row("S1", "Silver_1", "inverse", ["bronze.x"], {"most": 5}, ["silver.x"])
    registry.upsert([row])
    project.run(1, 2).raise_for_status()
    helper.write_text(helper.read_text().replace("> most", ">= most"))
    registry.upsert([{**row, "constants": {"most": 2}}])
    project.run(select=["S1"])
    found = command(project, "why S1")
    text = repr(found)
    assert {cause.kind for cause in found.result.causes} == {"code", "constants"}
    assert "code: too_large changed" in text
    assert "+    return (frame['x'] >= most).any()" in text
    assert "constants: most: 5 → 2" in text
    assert "<details" in found._repr_html_()


def test_a_table_that_did_not_exist_then_does_not_exist_in_its_rehearsal(project):
    """A row that checks for a table that was created later finds none, as in the old run."""
    text = FUNCTIONS.replace(
        'if (frame["x"] == 0).any():', 'if not context.table_exists("gold.later"):'
    )
    (project.home / "plant_functions.py").write_text(text)
    project.run(1, 2)
    project.put(1, table="gold.later")
    assert try_transformation(project.open(), "S1").error is None
    assert str(try_transformation(project.open(), "S1", run="last").error) == "a zero"
    with pytest.raises(TableNotFoundError, match="did not exist when the attempt began"):
        loaded = load_transformation(project.open(), "S1", run="last")
        loaded.context.read("gold.later")
