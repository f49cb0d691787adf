"""Secrets are hidden in any text, and ordinary words are not."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.core.text import redaction
from odibi_nb.core.text.redaction import error_message, last_lines, redact, redact_text, shown_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJlaHVudGVyMg"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('db = connect(host="h", password="hunter2")', 'db = connect(host="h", password="***")'),
        ("password = hunter2", "password = ***"),
        ("pwd: hunter2", "pwd: ***"),
        ("PASSWORD='hunter2'", "PASSWORD='***'"),
        ("bearer_token='hunter2'", "bearer_token='***'"),
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ("{'Authorization': 'Basic aHVudGVyMg=='}", "{'Authorization': '***'}"),
        ("curl -H 'Authorization: Bearer hunter2' x", "curl -H 'Authorization: ***' x"),
        ("sent Bearer abc.hunter2-x", "sent Bearer ***"),
        ("{'password': 12345, 'x': 1}", "{'password': ***, 'x': 1}"),
        ('{"password":12345}', '{"password":***}'),
        ("{'token': b'hunter2'}", "{'token': b'***'}"),
        ("token=b'hunter2'", "token=b'***'"),
        ("password: str = 'hunter2'", "password: str = '***'"),
        ("def f(password: str | None = 'hunter2'):", "def f(password: str | None = '***'):"),
        ("password = 'hun' + \"ter2\"", "password = '***' + \"***\""),
        ("password = '''hunter2'''", "password = '''***'''"),
        ("password=str('hunter2')", "password=***"),
        ("os.environ['DB_PASSWORD'] = 'hunter2'", "os.environ['DB_PASSWORD'] = '***'"),
        ("if password == 'hunter2':", "if password == '***':"),
        ("reader.option('password', 'hunter2')", "reader.option('password', '***')"),
        ("tool --password hunter2 -v", "tool --password *** -v"),
        ("'password': 'hunter2", "'password': '***"),
        ('{\\"password\\": \\"hunter2\\", \\"x\\": 1}', '{\\"password\\": \\"***\\", \\"x\\": 1}'),
        ("credentials={'user': 'u', 'x': 'hunter2'}", "credentials=***"),
        ("token: hunter2", "token: ***"),
        ("access token: hunter2", "access token: ***"),
        ("the token: hunter2 was sent", "the token: *** was sent"),
        (f"no rights with {JWT}!", "no rights with ***!"),
        ("login dapi0123456789abcdef0123456789abcdef failed", "login *** failed"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("aws_secret_access_key = hunter2", "aws_secret_access_key = ***"),
        ("?sv=2022&sig=hunter2%3D&se=1", "?sv=2022&sig=***&se=1"),
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==;EndpointSuffix=x",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=***;EndpointSuffix=x",
        ),
        (
            "spark.hadoop.fs.azure.account.key.a.dfs.core.windows.net=hunter2",
            "spark.hadoop.fs.azure.account.key.a.dfs.core.windows.net=***",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
        ),
        ("UID%3Du%3BPWD%3Dhunter2", "UID%3Du%3BPWD%3D***"),
        ("authorization: bearer hunter2", "authorization: ***"),
        ("ALTER USER u PASSWORD 'hunter2'", "ALTER USER u PASSWORD '***'"),
        ("create user u identified by 'hunter2'", "create user u identified by '***'"),
        ("Cookie: a=hunter2; b=hunter2", "Cookie: ***"),
        ('ALTER USER u IDENTIFIED BY "hunter2"', 'ALTER USER u IDENTIFIED BY "***"'),
        ("CREATE USER u IDENTIFIED BY hunter2;", "CREATE USER u IDENTIFIED BY ***;"),
        ("source.setPassword('hunter2')", "source.setPassword('***')"),
        ('o.set_access_token("hunter2").x()', 'o.set_access_token("***").x()'),
        ("reader.password('hunter2')", "reader.password('***')"),
        ("get(url, auth=('me', 'hunter2'))", "get(url, auth=(***))"),
        ("get(url, auth=(USER, 'hunter2'), timeout=5)", "get(url, auth=(***), timeout=5)"),
        ("HTTPBasicAuth('me', \"hunter2\")", "HTTPBasicAuth(***)"),
        ("server.login('me', 'hunter2')", "server.login(***)"),
        ("&quot;password&quot;: &quot;hunter2&quot;}", "&quot;password&quot;: &quot;***&quot;}"),
        ("&#x27;pwd&#x27;:&#x27;hun ter2", "&#x27;pwd&#x27;:&#x27;***"),
        (r"\u0022token\u0022:\u0022hunter2\u0022,", r"\u0022token\u0022:\u0022***\u0022,"),
        ('{"name": "DB_PASSWORD", "value": "hunter2"}', '{"name": "DB_PASSWORD", "value": "***"}'),
        ("{'key': 'password', 'value': 'hunter2'}", "{'key': 'password', 'value': '***'}"),
        ('<add key="password" value="hunter2"/>', '<add key="password" value="***"/>'),
        ("<Password type='x'>hunter2</Password>", "<Password type='x'>***</Password>"),
        ("<password>\n  hunter2\n</password>", "<password>\n  ***\n</password>"),
        ("PASSWORD\xa0=\xa0hunter2", "PASSWORD\xa0=\xa0***"),
        ("Kennwort: hunter2", "Kennwort: ***"),
        ("https://a1b2c3d4e5f6g7h8i9j0@dev.azure.com/x", "https://***@dev.azure.com/x"),
        ("jdbc:oracle:thin:me/hunter2@//h:1521/x", "jdbc:oracle:thin:me/***@//h:1521/x"),
        (
            "POST https://hooks.slack.com/services/T0/B0/hunter2x failed",
            "POST https://hooks.slack.com/services/*** failed",
        ),
        (
            "https://a.webhook.office.com/webhookb2/1-2@3/I/hunter2",
            "https://a.webhook.office.com/webhookb2/***",
        ),
        (f"npm_{'a1' * 18}", "***"),
        ("headers = {'Authorization': f'Bearer hunter2'}", "headers = {'Authorization': f'***'}"),
        ("a://x:1/,b://u:hunter2@h", "a://x:1/,b://u:***@h"),
        ("<db><password>hunter2</password></db>", "<db><password>***</password></db>"),
        ("connect(password=(\n    'hunter2'))", "connect(password=(\n    '***'))"),
        ("password: |-\n  hunter2\n  hunter2\nhost: h", "password: ***\nhost: h"),
        ("x-functions-key: hunter2", "x-functions-key: ***"),
        ("postgres://u:hunter2@@host/db", "postgres://u:***@host/db"),
        ("a://u:hunter2@h@ x", "a://u:***@ x"),
        ("'password':\nhunter2", "'password':\n***"),
        ("password=f('hunter2\nok", "password=***\nok"),
        ("x" * 200 + " token: hunter2hunter2abc", "x" * 200 + " token: ***"),
    ],
)
def test_secrets_are_hidden(text, shown):
    """A secret is hidden in source lines, headers, configuration, connection strings and JSON."""
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        'unrecognized token: ":"',
        'unrecognized token: "2023abc"',
        "unrecognized token: 1::text",
        "select 1::text as token",
        'near "token": syntax error',
        "column 'token': its numbers have more digits",
        "INVALID TOKEN 'x'",
        "tokens: 5, max_tokens=4096",
        "SELECT token::text",
        "Unexpected token '}' at line 1, column 8",
        "Expected token ')', got 'x'",
        "Error tokenizing data. C error: Expected 3 fields",
        "the primary key: id",
        "FOREIGN KEY constraint failed: bronze.meter",
        "primary_key=id",
        "a token is a word: it stays",
        "function signature: f(a, b)",
        "pass: 5, fail: 3",
        "password=None, token=None",
        "use_password=True",
        "def login(user: str, password: str) -> None:",
        "if not token:\n    return",
        "password authentication failed for user 'u'",
        "tokenizer='x'",
        "the secretary: Ann",
        "token_count is unknown",
        "conn strategy: retry",
        "a <token> is expected, found: x",
        'dbutils.secrets.get("scope", "name")',
        'frame.set_index("token").rename("password")',
        '{"column": "token", "type": "string"}',
        "abfss://a1b2c3d4e5f6g7h8i9j0@lake.dfs.core.windows.net/x",
        "https://me@example.com/x",
        'author=("Ann", "Bob"), auth=None',
        "https://hooks.slack.com/docs",
    ],
)
def test_words_are_no_secrets(text):
    """A database's, a parser's and a compiler's words about tokens and keys stay readable."""
    assert redact_text(text) == text


@given(
    st.sampled_from(["password", "db_pwd", "client_secret", "api-key", "AccountKey", "sas_token"]),
    st.one_of(
        st.text(min_size=1), st.binary(min_size=1), st.integers(), st.floats(allow_nan=False)
    ),
)
def test_a_value_under_a_secret_key_is_never_shown(name, value):
    """The text of a value under a secret key never appears: as data, as ``repr``, as JSON."""
    assert redact({name: value}) == {name: "***"}
    hidden = re.escape(redact_text(repr({name: value})))
    assert re.fullmatch(rf"\{{'{name}':\ b?['\"]?\*\*\*['\"]?\}}", hidden.replace("\\", ""))
    if isinstance(value, str):
        for escape in (True, False):
            text = json.dumps({name: value}, ensure_ascii=escape)
            assert redact_text(text) == f'{{"{name}": "***"}}'


def test_the_value_of_a_pair_is_hidden_by_its_name():
    """Headers and settings are often lists of names and values; other pairs stay."""
    pairs = [
        {"name": "Authorization", "value": "hunter2", "on": 1},
        {"key": "db_password", "value": 12},
        {"name": "site", "value": "north"},
        {"name": "token", "value": ""},
    ]
    assert redact({"headers": pairs})["headers"] == [
        {"name": "Authorization", "value": "***", "on": 1},
        {"key": "db_password", "value": "***"},
        *pairs[2:],
    ]


class Odd:
    """An object whose methods all raise unexpected exceptions."""

    def __str__(self):
        raise SystemExit(3)

    __repr__ = __eq__ = __bool__ = __len__ = __hash__ = __str__


def test_data_that_is_odd():
    """Foreign objects are not asked for anything; what holds itself, or is deep or shared, is no trouble."""
    holds_itself: list = [1]
    holds_itself.append(holds_itself)
    shared: list = []
    for _ in range(60):
        shared = [shared, shared]
    deep: list = []
    for _ in range(20_000):
        deep = [deep]
    odd = Odd()
    found = redact({"password": odd, "x": [odd], "y": holds_itself, "z": shared, "deep": deep})
    assert found["password"] == "***"
    assert found["x"][0] is odd
    assert found["y"] == [1, "…"]


def test_text_is_cut_before_it_is_looked_at():
    """A cut never brings a secret to light: neither one that it tears, nor one whose key it takes away."""
    text = "x" * 90 + " password='hunter2 and more' y"
    assert "hunter" not in shown_text(text, 112)
    assert shown_text(text, 112).endswith(f"({len(text)} characters in all)")
    assert last_lines("password='hunter2'\nthe rest", 15) == "the rest"


@pytest.mark.parametrize(
    "raised", [SystemExit(1), KeyboardInterrupt(), RecursionError(), None, Exception("x")]
)
def test_an_exception_without_a_text(raised):
    """An exception has a message, whatever its ``__str__`` does."""

    class Broken(Exception):
        def __str__(self):
            if raised is None:
                return 5  # noqa: PLE0307  as users do
            raise raised

    kind = "TypeError" if raised is None else type(raised).__name__
    assert error_message(Broken()) == f"(its message cannot be shown: {kind})"


@given(st.from_regex(redaction._SECRET_KEY))
def test_no_key_is_missed_by_the_quick_look(text):
    """A text with a key is searched for the key's value, in any spelling that is the same without case."""
    assert redaction._may_name_secrets(text)


@pytest.mark.parametrize(
    "key", ["pa\u017f\u017fword", "TO\u212aEN", "api_\u212aey", "s\u0131gnature", "S\u0130GNATURE"]
)
def test_letters_that_are_the_same_without_case_hide_no_key(key):
    """A long s, a Kelvin sign and an i with or without dot are the plain letters."""
    assert "hunter2" not in redact_text(f"{key}=hunter2")
