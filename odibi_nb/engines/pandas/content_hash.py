"""Hash of the rows of an Arrow table, independent of their order.

Equal hashes mean equal columns, types and rows. Equal rows can have different hashes, for example if a
column is a dictionary. A write that changes nothing is then committed as usual.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

from odibi_nb.engines.optional_imports import require

if TYPE_CHECKING:
    from odibi_nb.core.model.transformation import Output

FORM = "1"
"""Version of the hash's form. Hashes of another form never match."""


class _Hasher(io.RawIOBase):
    """File that hashes all data written to it."""

    def __init__(self) -> None:
        self.digest = hashlib.blake2b(digest_size=16)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Add *data* to the hash."""
        self.digest.update(data)
        return len(data)


def content_hash(data: Any, output: Output) -> str:
    """Return the hash of the Arrow table *data*, as a write to *output*; "" if rows cannot be sorted."""
    pa = require("pyarrow", "the pandas engine")
    try:
        ordered = _sorted(pa, data.replace_schema_metadata(None))
    except (pa.ArrowException, TypeError, ValueError, RecursionError):
        return ""
    hasher = _Hasher()
    form = f"{FORM} {output.schema_mode} {list(output.partition_by)} {ordered.num_rows}\n"
    hasher.write(form.encode())
    with pa.ipc.new_stream(pa.PythonFile(hasher, "w"), ordered.schema) as stream:
        for batch in ordered.combine_chunks().to_batches():
            stream.write_batch(batch)
    return hasher.digest.hexdigest()


def _sorted(pa: Any, data: Any) -> Any:
    """Return *data* in an order that depends on its rows alone."""
    compute = require("pyarrow.compute", "the pandas engine")
    keys = {}
    for number, (field, column) in enumerate(zip(data.schema, data.columns, strict=True)):
        nested = pa.types.is_nested(field.type) or pa.types.is_dictionary(field.type)
        keys[f"k{number}"] = pa.array(map(repr, column.to_pylist())) if nested else column
    if not keys:
        return data
    order = compute.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    return data.take(order)
