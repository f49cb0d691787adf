"""Facts about rows whose code, tables or files cannot be read as usual."""

from __future__ import annotations

import pytest
from fakes import FakeTables
from msgspec.structs import replace
from plans import planned

from odibi_nb.core.functions.code_hash import CodeReader
from odibi_nb.core.functions.code_store import CodeStore
from odibi_nb.core.functions.project_sources import ProjectSources
from odibi_nb.core.functions.registry import ProjectModules
from odibi_nb.core.model.provenance import FileRead
from odibi_nb.core.runlog.past_attempts import PastOfRows
from odibi_nb.core.running.freshness_reader import FreshnessReader, RowCode


@pytest.fixture
def code(tmp_path):
    """The code of the rows of a project without modules."""

    def reader():
        return CodeReader(ProjectSources(ProjectModules(tmp_path), ()), {})

    return RowCode(reader, CodeStore(tmp_path))


def reader_of(code, tables, **rows):
    past = PastOfRows({}, frozenset())
    return FreshnessReader(
        rows, dict, past, code, lambda _: tables, lambda place: place.replace("adls:", "data:")
    )


def test_a_row_whose_function_cannot_be_loaded_has_no_code(code):
    """To ask for its code is an error, which makes the row unknown instead of fresh."""
    with pytest.raises(LookupError, match="its function cannot be loaded"):
        code.read(replace(planned("A"), fn=None))


def test_code_that_is_not_stored_any_more_has_no_changed_parts(code):
    """If the folder of the state was deleted, a changed code has no names of parts."""
    assert code.changed(replace(planned("A"), fn=reader_of), "0123456789abcdef") == []


class Files(FakeTables):
    """An engine that tells which places it was asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def fingerprint(self, location):
        self.asked.append(location)
        return FileRead(file=location)


def reading(*inputs, **constants):
    row = planned("A")
    fields = {"inputs": [*inputs], "constants": constants}
    return replace(row, transformation=replace(row.transformation, **fields))


@pytest.mark.parametrize(
    ("row", "name", "place"),
    [
        (reading({"path": "https://me:hunter2@h/x.csv"}), "https://me:***@h/x.csv", None),
        (
            reading("t.a", at={"deep": ["s3://b/y", "https://h/x?sig=hunter2"]}),
            "https://h/x?sig=***",
            None,
        ),
        (reading({"table": "t.a"}), "adls:x.csv", "data:x.csv"),
    ],
)
def test_a_file_is_looked_at_where_its_row_says(code, row, name, place):
    """The log hides secrets in the place of a file: the row has them. Other places are those of the log."""
    files = Files()
    reader = reader_of(code, files, A=row)
    assert reader.facts.fingerprint(row, name) == FileRead(file=name)
    (asked,) = files.asked
    assert asked == place or "hunter2" in asked


def test_a_file_whose_secret_is_nowhere_cannot_be_looked_at(code):
    """The row had another secret place when it ran, so nothing can be known about that file."""
    row = reading({"path": "https://me:hunter2@h/x.csv"})
    reader = reader_of(code, Files(), A=row)
    with pytest.raises(LookupError, match="a secret that is not in the row"):
        reader.facts.fingerprint(row, "https://me:***@other/x.csv")


def test_an_engine_without_versions_knows_none(code):
    """A row on such an engine has no version of its tables, whether it is asked before or during a run."""
    row = planned("A")
    reader = reader_of(code, FakeTables(), A=row)
    assert reader.facts.version(row, "t.a") is None
    assert reader.look_again(row, "run").reasons
