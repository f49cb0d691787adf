"""Putting pandas DataFrames one after the other without changing a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.late_imports import import_late

if TYPE_CHECKING:
    from collections.abc import Sequence


def one_after_the_other(frames: Sequence[Any]) -> Any:
    """All rows of *frames*; columns go by their names.

    Whole numbers beside floats become objects: pandas would make floats of all of them, and large
    ones would be others then. What stores them refuses what it cannot hold exactly.
    """
    pd = import_late("pandas")

    if len(frames) == 1:
        return frames[0]
    kinds: dict[Any, set[str]] = {}
    for frame in frames:
        for name, dtype in frame.dtypes.items():
            kinds.setdefault(name, set()).add(dtype.kind if hasattr(dtype, "kind") else "O")
    mixed = {name for name, found in kinds.items() if "f" in found and found & {"i", "u"}}
    if mixed:
        frames = [
            frame.astype({name: object for name in frame.columns if name in mixed})
            for frame in frames
        ]
    return pd.concat(frames, ignore_index=True)
