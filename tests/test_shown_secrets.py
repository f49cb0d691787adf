"""Objects that have secrets, as a notebook or a debugger shows them."""

from __future__ import annotations

import msgspec
import pytest
from engines.contract import INFO

from odibi_nb.core.model.manifest import EnvironmentConfig
from odibi_nb.core.model.transformation import Output
from odibi_nb.engines.delta.writes import TableWrite
from odibi_nb.engines.spark.delta_target import DeltaTarget

SECRET = {"AWS_SECRET_ACCESS_KEY": "hunter2"}
CONFIG = {
    "storage_options": SECRET,
    "connections": {"erp": "postgresql://me:hunter2@server/erp"},
    "spark": {"spark.hadoop.fs.azure.account.key.lake": "hunter2"},
    "location_options": {"raw": SECRET},
    "notify": {
        "team": {
            "kind": "webhook",
            "url": "https://hooks.example.org/x?token=hunter2",
            "headers": {"Authorization": "Bearer hunter2"},
        }
    },
}


@pytest.mark.parametrize(
    "shown",
    [
        msgspec.convert(CONFIG, EnvironmentConfig),
        DeltaTarget(None, "t", "t", "s3://bucket/t", SECRET),
        TableWrite(output=Output(table="t"), info=INFO, uri="s3://b/t", storage_options=SECRET),
    ],
    ids=lambda shown: type(shown).__name__,
)
def test_an_object_shows_no_secret(shown):
    """An environment's settings, and what writes a table, are shown without passwords, keys and tokens."""
    assert "hunter2" not in repr(shown)
    assert "hunter2" not in f"{shown}"
