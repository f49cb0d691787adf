"""Send the functions of a project's modules to Spark's workers with their code.

The workers of a remote session do not have the project's folder. cloudpickle sends a function of a module by
its name only, so a UDF that is defined in a module, or calls one, would fail there with
``ModuleNotFoundError``. An import statement inside such a function still fails on the workers.
"""

from __future__ import annotations

import sys
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from odibi_nb.core.functions.sibling_modules import INSTALLED, loaded_from, origin_of
from odibi_nb.core.process.compute import is_databricks
from odibi_nb.engines.spark.connection import CLASSIC, CONNECT

if TYPE_CHECKING:
    from odibi_nb.engines.spark.connection import Connection


def workers_lack_the_folder(connection: Connection) -> bool:
    """Return True if the session's Python workers may run where the project's folder is missing."""
    return connection.kind == CONNECT or (connection.kind == CLASSIC and is_databricks())


def send_by_value(folder: Path) -> None:
    """Let pickles of functions contain the code of all loaded modules in *folder*.

    Modules of an environment inside the folder still count as installed.
    """
    from pyspark import cloudpickle

    for name in loaded_from(folder):
        module = sys.modules.get(name)
        if module is None or getattr(module, "__name__", None) != name:
            continue
        place = origin_of(module)
        if place is None or INSTALLED & {*PurePath(place).relative_to(folder).parts}:
            continue
        cloudpickle.register_pickle_by_value(module)
