"""The documentation's sources, and the pages that the site's generator makes from the code."""

from __future__ import annotations

import importlib.util
import re
from functools import cache, lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@lru_cache(maxsize=1)
def generator():
    """The module that writes the reference pages."""
    path = DOCS / "generator" / "reference.py"
    spec = importlib.util.spec_from_file_location("docs_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def reference(name):
    """The text of one reference page."""
    return generator().PAGES[name]()


def rows(text, heading=None):
    """The first column of all tables of a page, or of those below one heading, without back-quotes."""
    if heading is not None:
        text = re.split(r"^## ", text.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]
    return re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)
