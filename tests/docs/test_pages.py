"""Every code block of the documentation works as the page shows it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from docs.blocks import Reader, blocks_of
from docs.doc_pages import DOCS

PAGES = {str(path.relative_to(DOCS)): path for path in sorted(DOCS.rglob("*.md"))}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_the_page_works(page, ipython, tmp_path, monkeypatch):
    """A reader who follows the page from its top, in an empty folder, gets what it shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    reader = Reader(ipython)
    for block in blocks_of(PAGES[page]):
        try:
            reader.follow(block)
        except AssertionError as exc:
            raise AssertionError(f"docs/{page}:{block.line}\n{block.text}\n{exc}") from exc
    ipython.reset(new_session=False)
    assert Path.cwd() == tmp_path
