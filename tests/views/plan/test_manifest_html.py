"""A manifest in a notebook."""

from __future__ import annotations

import html

import pytest
from views.snapshots import EVIL

from odibi_nb import ProjectManifest

FULL = {
    "project": "Plant One",
    "owner": "data-team",
    "tags": ["energy"],
    "description": "What it is for",
    "layer_order": ["Bronze", "Silver_1"],
    "cache_plan": {"Silver_1": ["silver.x"]},
    "layers": {
        "Silver_1": {
            "description": "Clean",
            "cache_tables": ["silver.y"],
            "depends_on": ["Bronze"],
            "max_workers": 3,
            "retry": {"max_retries": 2},
            "timeout_seconds": 60,
        }
    },
    "default_env": "qat",
    "environments": {
        "qat": {
            "engine": "pandas",
            "registry": "postgresql://u:hunter2@host/db",
            "lake": "lake",
            "connections": {"erp": "mssql://u:hunter2@host/erp"},
            "storage_options": {"account_key": "hunter2"},
        },
        "prod": {"registry": {"url": "${URL}", "table": "T"}, "protected": True},
    },
    "transformation_modules": ["plant"],
    "entity_labels": {"entity_1": "plant"},
    "parameters": {"api_token": "hunter2", "zone": "UTC"},
}


def page(raw):
    return ProjectManifest.from_dict(raw)._repr_html_()


def test_it_says_what_a_project_is():
    """The page has the layers in order with caches and limits, environments, and the places that rows may name."""
    text = html.unescape(page(FULL))
    for part in (
        "Plant One",
        "data-team",
        "What it is for",
        "silver.x, silver.y",
        "workers 3, retry max_retries 2, timeout 60 s",
        "qat (default)",
        "url ${URL}, table T",
        "🔒 yes",
        'connections: ["erp"]',
        "rows may name: plant",
        "entity_1 is plant",
        '"zone":"UTC"',
    ):
        assert part in text
    assert text.index("Bronze") < text.index("Silver_1")


def test_no_secret_is_shown():
    """Passwords in URLs, keys and tokens are hidden. Variables are shown as they are written."""
    assert "hunter2" not in page(FULL)
    assert "${URL}" in page(FULL)


def test_the_least_manifest():
    """Unset keys take no room: no empty columns, no empty headers."""
    text = page({"project": "P"})
    assert "Environments: none" in text
    assert "any module (transformation_modules is not set)" in text
    assert "cached after it" not in text
    assert "></th>" not in text


def test_markup_stays_text():
    """A <script> in any field is escaped."""
    raw = {
        "project": EVIL,
        "owner": EVIL,
        "description": EVIL,
        "layer_order": [EVIL],
        "environments": {EVIL: {"lake": EVIL}},
        "parameters": {EVIL: EVIL},
        "layers": {EVIL: {"description": EVIL}},
        "transformation_modules": [EVIL],
    }
    assert "<script" not in page(raw)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (
            FULL,
            "<ProjectManifest 'Plant One': Bronze → Silver_1; envs qat, prod (protected)>",
        ),
        ({"project": "P", "layer_order": ["A"]}, "<ProjectManifest 'P': A; envs any>"),
    ],
)
def test_its_repr_is_a_line(raw, text):
    """In a terminal a manifest is one line without secrets."""
    assert repr(ProjectManifest.from_dict(raw)) == text
