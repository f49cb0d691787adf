"""Short texts about the tables that an attempt wrote: versions, and rows added, changed and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Output = Mapping[str, Any]
    """One `OutputWritten` as plain values; keys without a value may be missing."""

UNCHANGED = "= unchanged"
AS_MANY = "±0 net"
"""An overwrite that did not change the number of rows."""


def change_of(outputs: Sequence[Output]) -> str:
    """Return the change of all *outputs* together: ``+1,204 ~3 −0``, or "" if it is not known.

    An overwrite has only a net change, ``+24 net``, because its commit does not list the earlier rows.
    """
    if not outputs or not all(isinstance(one, dict) for one in outputs):
        return ""
    if all(one.get("unchanged") for one in outputs):
        return UNCHANGED
    added, changed, removed = (_total(outputs, name) for name in ("added", "changed", "removed"))
    if added is None or removed is None:
        return ""
    if changed is None:
        net = added - removed
        return f"{'+' if net > 0 else '−'}{abs(net):,} net" if net else AS_MANY
    return f"+{added:,} ~{changed:,} −{removed:,}"


def change_lines(outputs: Sequence[Output]) -> tuple[str, ...]:
    """Return a line for each output: ``silver.weather v41 → v42: +1,204 ~3 −0``."""
    return tuple(_line(one) for one in outputs if isinstance(one, dict) and one.get("table"))


def _line(one: Output) -> str:
    change = change_of([one])
    what = f"{one['table']}{_versions(one)}"
    return f"{what} {change}" if change == UNCHANGED else f"{what}: {change}" if change else what


def _versions(one: Output) -> str:
    before, after = one.get("previous_version"), one.get("version")
    if after is None:
        return ""
    if one.get("unchanged"):
        return f" v{after}"
    return f" new, v{after}" if before is None else f" v{before} → v{after}"


def _total(outputs: Sequence[Output], name: str) -> int | None:
    counts = [one.get(name) for one in outputs]
    known = [count for count in counts if isinstance(count, int)]
    return sum(known) if len(known) == len(counts) else None
