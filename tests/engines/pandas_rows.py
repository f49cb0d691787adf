"""Frames of pandas for the contract of all engines."""

import pandas as pd


def plain(value):
    """A cell as plain Python."""
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if hasattr(value, "item") else value


class PandasRows:
    """The functions that `EngineContract` needs from the tests of a pandas engine."""

    def make(self, rows, columns=None):
        """A DataFrame."""
        return pd.DataFrame(rows, columns=columns)

    def rows(self, frame):
        """The rows of a DataFrame, sorted, nulls last."""
        rows = [
            {name: plain(value) for name, value in zip(frame.columns, cells, strict=True)}
            for cells in frame.itertuples(index=False)
        ]
        return sorted(rows, key=lambda row: [(v is None, str(v)) for v in row.values()])
