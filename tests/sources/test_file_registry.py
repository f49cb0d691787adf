"""The registry in files of the project's folder."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registries import row, the_error
from thorough import examples

from odibi_nb.sources import file_registry
from odibi_nb.sources.file_registry import FileRegistry
from odibi_nb.sources.files import FORMATS
from odibi_nb.sources.row_formats.row_format import Revision
from odibi_nb.sources.upsert import Edit

EXAMPLE = Path(__file__).parents[2] / "notebooks/projects/energy_efficiency/registry.json"


def at(folder, place="registry.json"):
    return FileRegistry(folder, place, folder / ".odibi")


def ids(registry):
    return [r["transformation_id"] for r in registry.export()]


def changed_lines(old, new):
    """The lines of a diff, without its context."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def test_an_edit_changes_only_its_lines(tmp_path):
    """In JSON written by hand, an edit of one constant is a diff of one line; a new row is appended."""
    path = tmp_path / "registry.json"
    shutil.copy(EXAMPLE, path)
    before = path.read_text()
    registry = at(tmp_path)
    [old] = [r for r in registry.export() if r["transformation_id"] == "BRONZE_003"]
    constants = json.loads(old["constants"])
    constants["add"]["site"] = "RSF III"
    registry.upsert([{**old, "constants": constants}])
    assert changed_lines(before, path.read_text()) == [
        '-      "add": {"site": "RSF II"}',
        '+      "add": {"site": "RSF III"}',
    ]
    before = path.read_text()
    registry.upsert([{**old, "transformation_id": "BRONZE_009", "constants": {"x": 1}}])
    added = changed_lines(before, path.read_text())
    assert not [line for line in added if line.startswith("-")]
    assert '+    "constants": {"x": 1},' in added
    [new] = [r for r in registry.export() if r["transformation_id"] == "BRONZE_009"]
    registry.change(Edit(read=(new,), delete=(new,)))
    assert path.read_text() == before


def test_comments_and_order_of_toml_stay(tmp_path):
    """In TOML an edit keeps comments, order and the form of all other values."""
    text = """# what runs
[[transformation]]
transformation_id = "A"  # first
project = "Energy Efficiency"
environment = "qat"
layer = "Silver_1"
module = "m"
function = "f"

[transformation.constants]
# in kW
least = 1  # not 0

# the second
[[transformation]]
transformation_id = "B"
project = "Energy Efficiency"
environment = "qat"
layer = "Silver_1"
module = "m"
function = "f"
"""
    path = tmp_path / "registry.toml"
    path.write_text(text)
    registry = at(tmp_path, "registry.toml")
    registry.upsert([row("A", constants={"least": 2})])
    assert path.read_text() == text.replace("least = 1", "least = 2")
    registry.upsert([row("C", constants={"x": None})])
    assert path.read_text().startswith(text.replace("least = 1", "least = 2"))
    assert [r["constants"] for r in registry.export()] == ['{"least":2}', None, '{"x":null}']
    a = registry.export()[0]
    registry.change(Edit(read=(a,), delete=(a,)))
    assert "# the second\n[[transformation]]" in path.read_text()
    assert ids(registry) == ["B", "C"]


def test_only_the_changed_lines_of_csv_are_written(tmp_path):
    """In CSV all other lines keep their bytes. A missing column is added."""
    path = tmp_path / "registry.csv"
    head = b"id,project,env,layer,module,function,enabled,constants\r\n"
    a = b'"A",Energy Efficiency,qat,Silver_1,m,f,1,"{""x"": ""a\nb""}"\r\n'
    b = b"B,Energy Efficiency,qat,Silver_1,m,f,1,\r\n"
    path.write_bytes(head + a.replace(b"\n", b" ", 1) + b"\r\n" + b)
    registry = at(tmp_path, "registry.csv")
    registry.upsert([row("B", enabled=0)])
    assert path.read_bytes() == head + a.replace(b"\n", b" ", 1) + b"\r\n" + b.replace(
        b",1,", b",0,"
    )
    registry.upsert([row("B", step=3)])
    lines = path.read_text().splitlines()
    assert (lines[0].split(",")[-1], lines[-1].split(",")[-1]) == ("step", "3")
    assert [r["step"] for r in registry.export()] == [None, "3"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_line_ends_byte_order_mark_and_mode_stay(tmp_path, suffix):
    """A file keeps its CRLF, byte order mark and mode, and no temporary file is left."""
    path = tmp_path / f"registry{suffix}"
    registry = at(tmp_path, path.name)
    registry.create()
    registry.upsert([row("A"), row("B")])
    data = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + data)
    path.chmod(0o640)
    registry.upsert([row("A", layer="Gold_1"), row("C")])
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\n") == data.count(b"\r\n") > 1
    assert path.stat().st_mode & 0o777 == 0o640
    assert [(r["transformation_id"], r["layer"]) for r in registry.export()] == [
        ("A", "Gold_1"),
        ("B", "Silver_1"),
        ("C", "Silver_1"),
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".odibi", path.name]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
CONSTANTS = st.dictionaries(st.text('ab"\\ é', min_size=1, max_size=3), JSON, max_size=4)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=examples(15))
@given(
    before=st.lists(CONSTANTS, max_size=3),
    after=st.lists(CONSTANTS | st.none(), min_size=3, max_size=3),
    new=st.lists(CONSTANTS, max_size=2),
    indent=st.sampled_from([None, 1, 4]),
)
def test_a_revised_text_has_the_revised_rows(suffix, before, after, new, indent):
    """After any edit of any text, the file has exactly the expected rows."""
    fmt = FORMATS[suffix]
    rows = [row(f"R{i}", constants=constants) for i, constants in enumerate(before)]
    text = json.dumps(rows, indent=indent) if suffix == ".json" else fmt.write(rows)
    deletes = {i for i, value in enumerate(after[: len(rows)]) if value is None}
    updates = {i: {"constants": v} for i, v in enumerate(after[: len(rows)]) if v is not None}
    inserts = [row(f"N{i}", constants=constants) for i, constants in enumerate(new)]
    revision = Revision(updates=updates, deletes=frozenset(deletes), inserts=inserts)
    found, problems = fmt.read(fmt.revise(text, revision))
    wanted = [{**r, **updates.get(i, {})} for i, r in enumerate(rows) if i not in deletes]
    assert not problems
    keep = ("transformation_id", "constants")
    assert [{k: r.get(k) for k in keep} for r in found] == [
        {k: r[k] for k in keep} for r in (*wanted, *inserts)
    ]


def test_new_rows_in_a_folder(tmp_path):
    """A new row is added to the file of its group, else of its layer, else to a new file of the layer."""
    registry = at(tmp_path, "rows/")
    assert registry.create() == ["created folder rows/"]
    registry.upsert([row("S1"), row("S2"), row("G1", layer="Gold 1")])
    folder = tmp_path / "rows"
    assert sorted(p.name for p in folder.iterdir()) == ["gold_1.json", "silver_1.json"]
    (folder / "solar.json").write_text(json.dumps([row("X", transformation_group_id="solar")]))
    (folder / ".draft.json").write_text("no rows")
    registry.upsert([row("S3"), row("Y", transformation_group_id="solar")])
    assert [r["transformation_id"] for r in json.loads((folder / "solar.json").read_text())] == [
        "X",
        "Y",
    ]
    assert len(json.loads((folder / "silver_1.json").read_text())) == 3
    assert ids(registry) == ["G1", "S1", "S2", "S3", "X", "Y"]


def test_problems_of_all_files_at_once(tmp_path):
    """Each problem has its file and line: broken JSON, no environment, unknown columns, another encoding."""
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.json").write_text('[\n  {"transformation_id": "A",\n   "project" "p"}\n]')
    (folder / "b.json").write_text(
        json.dumps([row("A"), {**row("B"), "environment": ""}], indent=0)
    )
    (folder / "c.csv").write_bytes(b"transformation_id,project,environment\n\xe9,p,qat\n")
    (folder / "d.toml").write_text('[[transformation]]\ntransformation_id = "T"\nprojct = "p"\n')
    message = the_error(at(tmp_path, "rows/").export)
    for expected in (
        "(line 3, column 14) - at a.json",
        "has no environment - at b.json, line 10, row 'B'",
        "is not UTF-8: byte 0xe9 in line 2; save it as UTF-8 - at c.csv",
        "unknown column 'projct' (did you mean 'project'?) - at d.toml, line 1",
    ):
        assert expected in message
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps([row("A"), row("B"), row("A")], indent=0))
    (folder / "b.csv").write_text("id,project,env\nB,Energy efficiency,qat\n")
    message = the_error(at(tmp_path, "rows/").export)
    assert "occurs 2 times: a.json line 2 and a.json line 18" in message
    assert "occurs 2 times: a.json line 10 and b.csv line 2" in message


def test_rows_of_other_projects_and_environments_stay(tmp_path):
    """A file may have rows of several projects and environments. Each one sees and edits only its own."""
    registry = at(tmp_path)
    registry.create()
    registry.upsert([row("A"), row("A", environment="prod"), row("A", project="Other", enabled=0)])
    assert len(registry.fetch("ENERGY efficiency", "qat")) == 1
    assert registry.census() == [
        ("Energy Efficiency", "prod", 1),
        ("Energy Efficiency", "qat", 1),
        ("Other", "qat", 0),
    ]
    registry.upsert([row("A", layer="Gold_1")])
    assert [r["layer"] for r in registry.export()] == ["Silver_1", "Gold_1", "Silver_1"]


def test_the_file_must_be_in_the_projects_folder(tmp_path):
    """Paths out of the project, links, pipes, and folders in place of files give one message each."""
    home = tmp_path / "project"
    (home / "folder.json").mkdir(parents=True)
    (tmp_path / "other.json").write_text("[]")
    (home / "link.json").symlink_to(tmp_path / "other.json")
    (home / "rows").mkdir()
    (home / "rows" / "link.json").symlink_to(tmp_path / "other.json")
    (home / "loop.json").symlink_to(home / "loop.json")
    os.mkfifo(home / "pipe.json")
    (home / "file").write_text("")
    outside = "must be in the project's folder"
    for place, expected in {
        "../other.json": outside,
        str(tmp_path / "other.json"): outside,
        "link.json": outside,
        "rows/": outside,
        "./": "must be a folder of its own",
        "loop.json": "loop",
        "pipe.json": "is not a file",
        "folder.json": "expected a file, found a folder",
        "./file": "expected a folder, found a file",
        "nowhere.json": "does not exist; `odibi registry init` creates it",
    }.items():
        message = the_error(at(home, place).export)
        assert expected.lower() in message.lower(), place
    assert outside in the_error(lambda: at(home, "../new.json").create())
    assert not (tmp_path / "new.json").exists()


def test_another_programs_write_is_never_lost(tmp_path, monkeypatch):
    """If an editor or git changes the file between reading and replacing it, the edit begins again."""
    registry = at(tmp_path)
    registry.create()
    registry.upsert([row("A"), row("B")])
    path, real, theirs = tmp_path / "registry.json", file_registry.replace_files, []

    def late(writings):
        if not theirs:
            theirs.append(path.write_text(path.read_text().replace("Silver_1", "Gold_1")))
        return real(writings)

    monkeypatch.setattr(file_registry, "replace_files", late)
    registry.upsert([row("C")])
    assert [r["layer"] for r in registry.export()] == ["Gold_1", "Gold_1", "Silver_1"]
    read = tuple(registry.export())
    path.write_text(path.read_text().replace("Gold_1", "Bronze"))
    next(tmp_path.rglob("registry_writer.json")).write_text('{"x":' * 5_000)
    late_edit = Edit(rows=(row("A", layer="Silver_2"),), read=read)
    message = the_error(lambda: registry.change(late_edit))
    assert "it was 'Gold_1', it is now 'Bronze'" in message
    assert (
        "registry.json was last written by another program, such as an editor or git, at 2"
        in message
    )


def test_a_read_only_file_is_not_replaced(tmp_path):
    """A read-only file does not change, although its folder would allow replacing it."""
    registry, path = at(tmp_path), tmp_path / "registry.json"
    registry.create()
    registry.upsert([row("A")])
    before = path.read_bytes()
    path.chmod(0o444)
    assert "registry.json is read-only" in the_error(lambda: registry.upsert([row("A", enabled=0)]))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [".odibi", "registry.json"]


def test_a_write_that_fails_leaves_all_files(tmp_path, monkeypatch):
    """If the second of two files cannot be replaced, the first one is restored."""
    registry = at(tmp_path, "rows/")
    registry.create()
    registry.upsert([row("A"), row("B", layer="Gold_1")])
    before = {p: p.read_bytes() for p in (tmp_path / "rows").iterdir()}
    real, done = Path.replace, []

    def failing(self, target):
        done.append(target)
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    message = the_error(
        lambda: registry.upsert([row("A", enabled=0), row("B", layer="Gold_1", enabled=0)])
    )
    assert "cannot be written: No space left on device" in message
    assert {p: p.read_bytes() for p in (tmp_path / "rows").iterdir()} == before


KILLED = """
import sys
from pathlib import Path
from odibi_nb.sources.file_registry import FileRegistry
folder = Path(sys.argv[1])
registry = FileRegistry(folder, "registry.json", folder / ".odibi")
rows = registry.export()
for number in range(10**9):
    registry.upsert([{**row, "constants": {"n": number}} for row in rows])
    print(number, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_kill_leaves_the_old_or_the_new_file(tmp_path):
    """A writer that is killed leaves a whole file, and no lock that stops the next one."""
    registry = at(tmp_path)
    registry.create()
    registry.upsert([row(f"R{i}", constants={"n": 0}) for i in range(50)])
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    while int(writer.stdout.readline()) < 5:
        pass
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    numbers = {json.loads(r["constants"])["n"] for r in registry.export()}
    assert len(numbers) == 1
    registry.upsert([row("R0", enabled=0)])
    assert registry.export()[0]["enabled"] == 0
