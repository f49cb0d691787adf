"""Check the extent of a workbook's sheet before pandas reads it into a table."""

from __future__ import annotations

import logging
import re
import zipfile
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from odibi_nb.engines.files.discovery import FoundFile

MOST_CELLS = 20_000_000
"""Largest rectangle of cells that is read even if few of them are used."""
_LEAST_USED = 20
"""A larger rectangle is read only if at least one in this many cells has a value."""
_CELL = re.compile(rb'<(?:\w+:)?c\b[^<>]{0,400}?\br="([A-Z]{1,3})(\d{1,7})"[^<>]{0,400}?(?<!/)>')
_NO_RESULT = re.compile(
    rb'\br="([A-Z]{1,3}\d{1,7})"[^<>]{0,400}><(?:\w{1,9}:)?f\b(?:[^<>]{0,400}/>|[^<>]{0,400}>[^<>]{0,9000}</[^<>]{1,12}>)'
    rb"(?:<(?:\w{1,9}:)?v(?: ?/>|></[^<>]{1,12}>)|</(?:\w{1,9}:)?c>)"
)
"""A cell with a formula and without a result; a result that is empty text has its type in the cell's tag."""
_EMPTY_TEXT = b't="str"'
_ERROR = re.compile(
    rb'\br="([A-Z]{1,3}\d{1,7})"[^<>]{0,400}\bt="e"[^<>]{0,400}>(?:<(?:\w{1,9}:)?f\b[^<>]{0,400}(?:/>|>[^<>]{0,9000}</[^<>]{1,12}>))?'
    rb"<(?:\w{1,9}:)?v>(#[^<>]{1,30})<"
)
"""A cell with an error, such as ``#DIV/0!``, and its text."""
_GAP = b"#N/A"
"""The error by which people mark a missing value."""
_NAMED = 3
"""Number of cells with errors that a warning names."""
_logger = logging.getLogger(__name__)
_CHUNK = 1 << 20
_LONGEST_CELL = 12_000
"""More bytes than the tags and the formula of a cell. Excel's formulas have at most 8,192 characters."""
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


def check_extent(found_file: FoundFile, options: Mapping[str, Any]) -> None:
    """Reject a sheet whose used cells are so far apart that its table would fill the memory.

    Also reject formulas without results, as programs write them, because they would be read as gaps.
    They may be in columns that the option ``usecols`` leaves out.

    Raises:
        DataError: for such a sheet, naming the outermost cells or the formula's cell.
    """
    if found_file.suffix == ".xls":
        return  # its format ends at IV65536
    try:
        with found_file.open(unpack=False) as file, zipfile.ZipFile(file) as book:
            for sheet in _sheets(book, options.get("sheet_name", 0)):
                errors: dict[str, str] = {}
                with book.open(sheet) as cells:
                    found = _references(cells, found_file, errors, any_columns="usecols" in options)
                    _check_sheet(found, found_file, options.get("nrows"))
                _warn_of(errors, found_file)
    except (zipfile.BadZipFile, ET.ParseError, OSError, LookupError, ValueError):
        return  # not a workbook that pandas could read; pandas raises with the cause


def _check_sheet(cells: Iterator[tuple[bytes, int]], found_file: FoundFile, rows: object) -> None:
    count, widest, last = 0, (0, ""), (0, "")
    for letters, row in cells:
        count += 1
        column = _number(letters)
        if column > widest[0] or row > last[0]:
            cell = f"{letters.decode()}{row}"
            widest = max(widest, (column, cell), key=lambda found: found[0])
            last = max(last, (row, cell), key=lambda found: found[0])
    height = min(last[0], rows + 1) if isinstance(rows, int) else last[0]
    size = widest[0] * height
    if size > MOST_CELLS and count * _LEAST_USED < size:
        outermost = " and ".join(dict.fromkeys((last[1], widest[1])))
        raise DataError(
            f"{found_file.shown}: its used cells reach to {outermost}, so its table would have {size:,} "
            f"cells, and only {count:,} of them a value: clear the outermost cells, save the workbook, "
            'and load it again; or give the options "nrows" and "usecols"'
        )


def _warn_of(errors: Mapping[str, str], found_file: FoundFile) -> None:
    """Log a warning for the row that loads the sheet: pandas reads its *errors*, by cell, as gaps."""
    if errors:
        named = ", ".join(f"{text} in {cell}" for cell, text in [*errors.items()][:_NAMED])
        more = f" and {len(errors) - _NAMED:,} more" if len(errors) > _NAMED else ""
        _logger.warning(
            "%s: cells with an error are loaded as gaps: %s%s", found_file.shown, named, more
        )


def _references(
    file: Any, found_file: FoundFile, errors: dict[str, str], *, any_columns: bool
) -> Iterator[tuple[bytes, int]]:
    """Yield column and row of each cell with a value; read the sheet's XML in pieces.

    A cell at the end of a piece is yielded twice.
    Put the cells with an error into *errors*.

    Raises:
        DataError: for a formula without a result, except with *any_columns*.
    """
    rest = b""
    while piece := file.read(_CHUNK):
        text = rest + piece
        if not any_columns:
            _check_results(text, found_file)
        for error in _ERROR.finditer(text):
            if error[2] != _GAP:
                errors[error[1].decode()] = error[2].decode()
        start = 0
        for found in _CELL.finditer(text):
            start = found.start()
            yield found[1], int(found[2])
        rest = text[
            max(start, len(text) - _LONGEST_CELL) :
        ]  # the last cell may go on in the next piece


def _check_results(text: bytes, found_file: FoundFile) -> None:
    for found in _NO_RESULT.finditer(text):
        if _EMPTY_TEXT not in found[0]:
            cell = found[1].decode()
            raise DataError(
                f"{found_file.shown}: cell {cell} has a formula without a result: open the workbook in "
                'Excel and save it, or leave the column out by the option "usecols"'
            )


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _sheets(book: zipfile.ZipFile, asked: Any) -> list[str]:
    """Return the paths in *book* of the sheets that pandas reads for the ``sheet_name`` *asked*."""
    targets = {
        found.get("Id"): str(found.get("Target"))
        for found in ET.fromstring(book.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
    }
    sheets = [
        (str(sheet.get("name")), targets[sheet.get(f"{_RELATION}id")])
        for sheet in ET.fromstring(book.read("xl/workbook.xml")).iter(f"{_MAIN}sheet")  # noqa: S314
    ]
    names = [name for name, _ in sheets]
    given = asked if isinstance(asked, list) else names if asked is None else [asked]
    chosen = [sheets[one if isinstance(one, int) else names.index(one)][1] for one in given]
    return [target.lstrip("/") if target.startswith("/") else f"xl/{target}" for target in chosen]
