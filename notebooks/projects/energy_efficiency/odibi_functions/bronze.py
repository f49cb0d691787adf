"""Bronze: files as they came. Most rows need no code and name ``odibi_nb.ingest`` instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb import universal_function

if TYPE_CHECKING:
    from odibi_nb import ExecutionContext


@universal_function
def ingest_sensor_data(constants: dict[str, Any], context: ExecutionContext) -> Any:
    """All rows and columns of the file that ``source`` names; time stamps stay as written."""
    return context.read(constants["source"])
