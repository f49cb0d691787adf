"""Names of tables and places, and what must not be seen of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.core.model.tables import TableName, is_location, map_location
from odibi_nb.core.text.redaction import REDACTED, plain_text, redact, redact_text, redact_url
from odibi_nb.errors import DataError


@pytest.mark.parametrize(
    ("name", "key", "path"),
    [
        ("silver.clean_sensors", "silver.clean_sensors", "silver/clean_sensors"),
        ("Silver.Clean", "silver.clean", "silver/clean"),
        ("`Silver`.`Clean`", "silver.clean", "silver/clean"),
        (" silver . clean ", "silver.clean", "silver/clean"),
        ("input_table", "default.input_table", "default/input_table"),
        ("default.Input_Table", "default.input_table", "default/input_table"),
        ("main.silver.clean", "main.silver.clean", "main/silver/clean"),
        ("qat_ee.größe 1-2", "qat_ee.größe 1-2", "qat_ee/größe 1-2"),
    ],
)
def test_equal_names_are_one_table(name, key, path):
    """Case, blanks, backticks and the schema `default` make no difference, as in Spark."""
    table = TableName.parse(name)
    assert table.key == key
    assert table.path == path


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "a.",
        ".a",
        "a..b",
        "a.b.c.d",
        "../a",
        "a.../etc",
        "a/b",
        "a\\b",
        "silver.x\0",
        "silver.x\ny",
        'silver."x',
        "silver.'x",
        "silver.x'; DROP TABLE y; --",
        "a.b*",
        "a.b?",
        "C:.b",
        "a.<b>",
        "a|b",
        "``",
        "a.`",
        "x" * 256,
    ],
)
def test_names_that_lead_elsewhere_are_refused(name):
    """Slashes, dots, quotes, control characters and what no file system takes are refused."""
    with pytest.raises(DataError, match="is not a table name: expected"):
        TableName.parse(name)


@given(st.text(max_size=40))
def test_a_table_stays_inside_the_lake(name):
    """A table's name is refused if its path would lead up or out of the lake, whatever the text."""
    try:
        table = TableName.parse(name)
    except DataError:
        return
    parts = table.path.split("/")
    assert 2 <= len(parts) <= 3
    assert not set(parts) & {"", ".", ".."}
    assert not re.search(r"[\\\0:]", table.path)
    assert TableName.parse(str(table)).key == table.key


@pytest.mark.parametrize(
    ("text", "mapped"),
    [
        ("adls://raw/sensors.csv", "data/sensors.csv"),
        ("adls://raw", "data"),
        ("adls://raw/", "data/"),
        ("adls://rawer/x.csv", "adls://rawer/x.csv"),
        ("adls://raw/deep/x.csv", "/mnt/deep/x.csv"),
        ("/local/x.csv", "/local/x.csv"),
        ("x", "x"),
    ],
)
def test_the_longest_prefix_is_mapped(text, mapped):
    """A location is mapped by its longest prefix of whole parts; others stay as they are."""
    locations = {"adls://raw": "data", "adls://raw/deep/": "/mnt/deep/"}
    assert map_location(text, locations).rstrip("/") == mapped.rstrip("/")


def test_a_location_has_a_slash():
    """A slash of either kind makes it a place; anything else is a table's name."""
    assert is_location("a/b")
    assert is_location("C:\\b")
    assert not is_location("bronze.raw")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hunter2@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql+psycopg://u:hunter2@h/db?a=1", "postgresql+psycopg://u:***@h/db?a=1"),
        ("postgresql://u:hun@ter2@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:hun/ter2@h/db", "postgresql://u:***@h/db"),
        ("postgresql://:hunter2@h/db", "postgresql://:***@h/db"),
        ("https://h/x?sv=1&sig=hunter2&se=2", "https://h/x?sv=1&sig=***&se=2"),
        ("https://h/x?X-Amz-Signature=hunter2", "https://h/x?X-Amz-Signature=***"),
        ("databricks://token:hunter2@h?http_path=x", "databricks://token:***@h?http_path=x"),
        (
            "mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3Dhunter2",
            "mssql+pyodbc:///?odbc_connect=***",
        ),
        (
            "jdbc:sqlserver://h;user=u;password=hunter2;x=1",
            "jdbc:sqlserver://h;user=u;password=***;x=1",
        ),
        ("AccountName=a;AccountKey=hunter2;x=1", "AccountName=a;AccountKey=***;x=1"),
        ("no route to s3://k:hunter2@b/x, sorry", "no route to s3://k:***@b/x, sorry"),
        ("('postgresql://u:hunter2@h/db')", "('postgresql://u:***@h/db')"),
        ("host=h password=hunter2 dbname=d", "host=h password=*** dbname=d"),
        ("http://[::1", "http://[::1"),
        ("no key {'api_key': 'hunter2', 'x': 'y'}", "no key {'api_key': '***', 'x': 'y'}"),
        ('{"password": "hun\\"ter2", "x": "y",}', '{"password": "***", "x": "y",}'),
    ],
)
def test_secrets_in_text_are_hidden(text, shown):
    """Passwords in URLs and secret-looking parameters are hidden, wherever in a text they stand."""
    assert redact_text(text) == shown
    assert redact_url(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///C:/data/registry.db",
        "http://localhost:8080/a@b",
        "abfss://container@account.dfs.core.windows.net/raw/x.csv",
        "https://h/x?version=2&window=1H",
        "silver.clean_sensors",
        "x = y; a==b, c=",
        "",
    ],
)
def test_what_is_no_secret_stays(text):
    """Ports, containers, plain parameters and any other text are shown as they are."""
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db_password",
        "passwd",
        "pass",
        "passphrase",
        "PWD",
        "client_secret",
        "token",
        "apiKey",
        "api-key",
        "x-api-key",
        "access_key",
        "AccountKey",
        "private_key",
        "storage_key",
        "sas",
        "sas_url",
        "sig",
        "credentials",
        "Authorization",
        "connection_string",
    ],
)
def test_constants_with_a_secret_looking_key_are_hidden(key):
    """Any value under a secret key is hidden, at any depth; an empty value is shown."""
    found = redact({"a": [{key: "hunter2"}], key: {"x": "hunter2"}})
    assert found == {"a": [{key: REDACTED}], key: REDACTED}
    assert redact({key: None}) == {key: None}


@pytest.mark.parametrize(
    "key",
    ["source", "bypass", "drop_nulls", "key", "keys", "kansas", "signal", "window", "passage"],
)
def test_other_constants_are_shown(key):
    """Ordinary keys are not mistaken for secret ones."""
    assert redact({key: ["x", 1, True]}) == {key: ["x", 1, True]}


def test_values_are_looked_into():
    """A URL with a password is redacted under any key; the original is not changed."""
    value = {"source": "https://u:hunter2@h/x.csv", "n": 1}
    assert redact(value) == {"source": "https://u:***@h/x.csv", "n": 1}
    assert value["source"] == "https://u:hunter2@h/x.csv"


@given(st.text(alphabet="ab:/@=?&%;. \n'", max_size=60))
def test_any_text_can_be_redacted(text):
    """No text makes redaction fail, and what has been redacted stays so."""
    once = redact_text(text)
    assert redact_text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "a" * 50_000 + "=",
        "://" + "a:" * 20_000,
        "a=" * 20_000,
        "://a:" * 10_000 + "@",
        "'a':" * 10_000,
        "'token': 'a" * 5_000,
    ],
)
def test_long_text_is_redacted(text):
    """Text without blanks does not make redaction explode: this test would not end."""
    assert redact_text(text)


def test_text_that_is_no_unicode_is_made_plain():
    """Bytes that Python smuggled into text are shown as escapes; other text is the same object."""
    assert plain_text("caf\udce9") == "caf\\udce9"
    assert plain_text("café 🚀") == "café 🚀"
