"""Fixtures and functions that the registry's tests share."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from odibi_nb.errors import RegistryError


def execute(url: str, *statements: str) -> None:
    """Run SQL, in one transaction."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def row(id_: str = "T1", **values):
    """Return a minimal registry row with *values*."""
    return {
        "transformation_id": id_,
        "project": "Energy Efficiency",
        "environment": "qat",
        "layer": "Silver_1",
        "module": "m",
        "function": "f",
        **values,
    }


def the_error(call) -> str:
    """Return the message of the RegistryError that *call* raises."""
    with pytest.raises(RegistryError) as caught:
        call()
    return str(caught.value)
