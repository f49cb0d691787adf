"""Rights that a first write to a catalog needs, asked without a write.

Unity Catalog lists its grants in the information schema of each catalog. Other catalogs have none, and
refuse no rights either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.spark_errors import grant_of, is_no_schema, is_no_table, short_spark_error
from odibi_nb.core.text.sql_text import backticked, spark_literal
from odibi_nb.storage.spark_names import missing_schemas, own_catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_PRINCIPALS = 200
"""Number of users and groups with grants for which memberships are asked."""


@dataclass(frozen=True, slots=True)
class CatalogRights:
    """Rights in a catalog for writes to some schemas.

    Attributes:
        new_schemas: the schemas that the first write creates.
        missing: a ``GRANT`` statement for each right that is missing.
        unknown: the rights that cannot be checked without a write.
    """

    new_schemas: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def catalog_rights(spark: Any, catalog: str, schemas: Iterable[str]) -> CatalogRights:
    """Check which rights writes to *schemas* need and the session's user does not have.

    Args:
        spark: the session.
        catalog: name of the catalog; "" for the session's current one.
        schemas: names of schemas.

    Raises:
        EngineError: if the session has no right to use the catalog, or cannot list its schemas.
    """
    schemas = sorted({*schemas})
    new = missing_schemas(spark, catalog, schemas)
    catalog = catalog or own_catalog(spark)
    missing: list[str] = []
    unknown: list[str] = []

    def need(privilege: str, relation: str, *name: str) -> None:
        granted = _is_granted(spark, privilege, relation, name)
        if granted is None:
            unknown.append(privilege)
        elif not granted:
            missing.append(grant_of(privilege, relation.upper(), name))

    for schema in schemas:
        if schema in new:
            continue
        if grant := _unusable(spark, catalog, schema):
            missing.append(grant)
        need("CREATE TABLE", "schema", catalog, schema)
    if new:
        need("CREATE SCHEMA", "catalog", catalog)
    return CatalogRights(tuple(new), tuple(missing), tuple(dict.fromkeys(unknown)))


def _unusable(spark: Any, catalog: str, schema: str) -> str:
    """Return the ``GRANT`` without which the session cannot use a schema; "" if it can."""
    try:
        spark.sql(f"SHOW TABLES IN {backticked(catalog)}.{backticked(schema)} LIKE ''").collect()
    except Exception as exc:  # noqa: BLE001  any other error is one of the first write, not of rights
        return short_spark_error(str(exc)).message.partition("; ask for: ")[2]
    return ""


def _is_granted(spark: Any, privilege: str, relation: str, name: tuple[str, ...]) -> bool | None:
    """Return True if the session's user, or one of their groups, has a privilege on an object or owns it.

    A catalog without an information schema grants everything. Return None if its grants cannot be read.
    """
    place = f"{backticked(name[0])}.information_schema"
    columns = ("catalog_name", "schema_name")
    named = [
        f"lower({column}) = lower({spark_literal(part)})"
        for column, part in zip(columns, name, strict=False)
    ]
    asked = [
        f"SELECT grantee, privilege_type FROM {place}.{relation}_privileges WHERE {' AND '.join(named)}",
        f"SELECT catalog_owner, 'OWN' FROM {place}.catalogs WHERE {named[0]}",
        *(f"SELECT schema_owner, 'OWN' FROM {place}.schemata WHERE {one}" for one in named[1:]),
    ]
    try:
        rows = spark.sql(" UNION ".join(asked)).collect()
        enough = {privilege, "ALL PRIVILEGES", "OWN"}
        holders = {str(who) for who, what in rows if str(what).upper().replace("_", " ") in enough}
        if not rows or len(holders) > MOST_PRINCIPALS:
            return None
        return _is_one_of(spark, sorted(holders))
    except Exception as exc:  # noqa: BLE001  such as no right to read it
        return True if is_no_table(exc) or is_no_schema(exc) else None


def _is_one_of(spark: Any, principals: list[str]) -> bool:
    """Return True if the session's user is one of *principals* or a member of one."""
    if not principals:
        return False
    names = ", ".join(map(spark_literal, principals))
    members = " OR ".join(f"is_account_group_member({spark_literal(name)})" for name in principals)
    ((found,),) = spark.sql(f"SELECT current_user() IN ({names}) OR {members}").collect()
    return bool(found)
