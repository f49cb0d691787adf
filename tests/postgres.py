"""A PostgreSQL schema for one test, on the server that ODIBI_TEST_POSTGRES_URL names."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["postgres_url"]


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """URL of a new, empty schema."""
    server = os.environ.get("ODIBI_TEST_POSTGRES_URL")
    if not server:
        reason = (
            "ODIBI_TEST_POSTGRES_URL is not set; .ci/postgres.sh starts a server and prints one"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    schema = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(server, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    url = sa.make_url(server).update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
