"""Operations on DataFrames in memory, shared by both pandas engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.protocols import ConvertingEngine, FingerprintingEngine, TableEngine
from odibi_nb.engines.files.discovery import options_of
from odibi_nb.engines.files.fingerprints import fingerprint
from odibi_nb.engines.pandas import checks as pandas_checks
from odibi_nb.engines.pandas.files import read_file
from odibi_nb.engines.pandas.frames import from_arrow_exactly, is_arrow, is_pandas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odibi_nb.core.model.checks import Rule
    from odibi_nb.core.model.provenance import FileRead
    from odibi_nb.core.protocols import Measure
    from odibi_nb.engines.files.discovery import LocationOptions


class PandasInMemory(TableEngine, FingerprintingEngine, ConvertingEngine):
    """The part of a `TableEngine` that uses no tables."""

    name = "pandas"
    cannot_cache = ""
    location_options: LocationOptions = {}  # noqa: RUF012  replaced, never changed
    """Storage options by URL prefix."""

    def read_file(
        self,
        location: str,
        *,
        format: str,
        schema: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read a file, folder, glob or Delta table; see `odibi_nb.engines.pandas.files`."""
        storage_options = options_of(location, self.location_options)
        return read_file(location, format, schema, options, storage_options)

    def fingerprint(self, location: str) -> FileRead:
        return fingerprint(location, options_of(location, self.location_options))

    def is_frame(self, value: object) -> bool:
        """Return True if *value* is a pandas DataFrame or an Arrow table."""
        return is_pandas(value) or is_arrow(value)

    def native(self, frame: Any, name: str) -> Any:
        return from_arrow_exactly(frame, name) if is_arrow(frame) else frame

    def row_count(self, frame: Any) -> int:
        return len(frame)

    def schema(self, frame: Any) -> dict[str, str]:
        """Map each column to the name of its dtype."""
        return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}

    def measure(self, frame: Any, rules: Sequence[Rule]) -> list[Measure]:
        return [pandas_checks.measure(frame, rule) for rule in rules]

    def split(self, frame: Any, rules: Sequence[Rule]) -> tuple[Any, Any]:
        return pandas_checks.split(frame, rules)
