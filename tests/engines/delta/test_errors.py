"""Errors of delta-rs that have one remedy: texts as deltalake 1.1 to 1.6 raises them."""

import pytest

from odibi_nb.storage.local_renames import why_not_moved


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Generic LocalFileSystem error\n ↳ Unable to rename file\n ↳ Operation not permitted (os error 1)",
            "no hard links",
        ),
        (
            "Unable to copy file from /Volumes/a to /Volumes/b: Function not implemented (os error 38)",
            "no hard links",
        ),
        (
            "Failed to parse parquet: External: Generic LocalFileSystem error: Unable to rename file",
            "cannot rename files",
        ),
    ],
)
def test_a_file_system_that_cannot_commit(text, words):
    """The reason names what the file system lacks, and the remedy another place for the lake."""
    why, remedy = why_not_moved(text)
    assert words in why
    assert remedy.startswith("use a lake in a catalog")
    assert why_not_moved("version 3 already exists") is None
