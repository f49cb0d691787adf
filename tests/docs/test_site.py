"""The documentation site builds without a warning, and all its links have a target."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r'\s(?:href|src)="([^"]*)"')
ANCHOR = re.compile(r'\s(?:id|name)="([^"]*)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as people build it: {path: HTML}."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def test_every_link_leads_to_a_page_an_anchor_or_a_file(site):
    """Each link and picture inside the site leads to an existing file and anchor."""
    anchors = {path: {*ANCHOR.findall(text)} for path, text in site.items()}
    folder = min(site, key=lambda path: len(path.parts)).parent
    lost = []
    for path, text in site.items():
        if path.name == "404.html":  # its links begin at the server's root
            continue
        for link in {*LINK.findall(text)}:
            parts = urlsplit(link.replace("&amp;", "&"))
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = target.is_file() and target.is_relative_to(folder)
            anchor = unquote(parts.fragment)
            if not known or (anchor and anchor not in anchors.get(target, {anchor})):
                lost.append(f"{path.relative_to(folder)}: {link}")
    assert lost == []


def test_tables_are_shown_as_they_are_meant(site):
    """No page shows a table's source, or a backslash before a bar: each cell has its text."""
    odd = re.compile(r"\\\||^<p>\|.*\|$", re.MULTILINE)
    assert [str(path) for path, text in site.items() if odd.search(text)] == []


def test_the_site_asks_no_other_host_for_what_it_shows(site):
    """Scripts, styles, fonts and pictures are the site's own."""
    asked = re.compile(
        r'<(?:script|img|link rel="(?:stylesheet|preconnect|icon)")[^>]*"(?:https?:)?//'
    )
    assert [str(path) for path, text in site.items() if asked.search(text)] == []
