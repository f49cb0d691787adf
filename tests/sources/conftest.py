"""Databases for the registry's tests."""

from __future__ import annotations

import pytest
from postgres import postgres_url

__all__ = ["database_url", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path) -> str:
    """URL of an empty database, for each kind with a server."""
    if request.param == "sqlite":
        (tmp_path / "registry.db").touch()
        return f"sqlite:///{tmp_path}/registry.db"
    return request.getfixturevalue("postgres_url")
