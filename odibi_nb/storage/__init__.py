"""Tables with rows of plain values, in which the registry and the run log are stored.

``row_table`` is the port. ``sql_table``, ``delta_table`` and ``spark_table`` are its three stores. Beside them are
connections, names and rights that engines and ingestion share: ``database``, ``sql_frames``, ``spark_names``,
``catalog_rights``.
"""
