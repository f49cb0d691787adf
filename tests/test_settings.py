"""Settings: the sources of values, and the problems of values."""

from __future__ import annotations

import pytest
from fakes import row

from odibi_nb.errors import SettingsError
from odibi_nb.settings import (
    NAMES,
    Setting,
    Settings,
    checked_setting,
    load_settings,
    set_for_session,
    unknown_variables,
)


def write(folder, text, name="odibi.toml"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def load(folder, **environ):
    return load_settings(folder, environ)


def refused(folder, **environ):
    with pytest.raises(SettingsError) as excinfo:
        load(folder, **environ)
    return str(excinfo.value)


def test_the_order(tmp_path):
    """The argument overrides the settings file, the file the manifest, the manifest the environment
    variable, and this the default.
    """
    write(tmp_path, 'env = "file"')
    both = load(tmp_path, ODIBI_ENV="variable", ODIBI_ENGINE="pandas")
    assert both.resolve("env", "argument", "manifest", "default") == ("argument", "argument")
    assert both.resolve("env", None, "manifest", "default") == ("file", "odibi.toml")
    assert both.resolve("engine", None, "spark", "x") == ("spark", "manifest")
    assert both.resolve("engine", None, None, "x") == ("pandas", "ODIBI_ENGINE")
    assert both.resolve("ui", None, None, "auto") == ("auto", "default")
    assert both.get("ui") is None


def test_a_value_that_is_false_is_a_value(tmp_path):
    """False and zero are values like any other."""
    write(tmp_path, "save_logs = false")
    assert load(tmp_path, ODIBI_SAVE_LOGS="1").resolve("save_logs") == (False, "odibi.toml")
    assert load(tmp_path).resolve("save_logs", False) == (False, "argument")


def test_every_setting_in_a_file(tmp_path):
    """A settings file can have each of the settings. Its paths are relative to its folder."""
    write(
        tmp_path,
        """
        project = "P"
        env = "qat"
        engine = "pandas"
        max_workers = 2
        log_level = "INFO"
        on_error = "stop"
        schedule = "graph"
        ui = "text"
        state_dir = "state"
        project_dirs = ["projects", "/abs"]
        save_logs = true
        query_memory_mb = 512
        query_threads = 2
        """,
    )
    settings = load(tmp_path)
    assert {name for name in NAMES if name in settings.file} == set(NAMES)
    assert settings.get("state_dir") == str(tmp_path / "state")
    assert settings.project_dirs() == (str(tmp_path / "projects"), "/abs")


def test_every_setting_as_a_variable(tmp_path):
    """Each setting has its environment variable, with its type."""
    settings = load(
        tmp_path,
        ODIBI_PROJECT="P",
        ODIBI_MAX_WORKERS="2",
        ODIBI_SAVE_LOGS="true",
        ODIBI_PROJECT_DIRS="a:b",
        ODIBI_ENV="",
        PATH="x",
    )
    assert settings.get("max_workers") == 2
    assert settings.get("save_logs") is True
    assert settings.project_dirs() == ("a", "b")
    assert settings.get("env") is None
    assert settings.resolve("project") == Setting("P", "ODIBI_PROJECT")


def test_the_nearest_file_counts(tmp_path):
    """The file in the current folder or the nearest above it is read, odibi.toml before pyproject.toml."""
    write(tmp_path, 'env = "outer"')
    inner = write(tmp_path / "a" / "b", '[tool.odibi]\nenv = "inner"', "pyproject.toml")
    write(tmp_path / "a" / "b" / "c", "[tool.other]", "pyproject.toml")
    assert load(inner / "c").resolve("env") == ("inner", "pyproject.toml")
    assert load(tmp_path / "a").resolve("env") == ("outer", "odibi.toml")
    write(inner, 'env = "own"')
    assert load(inner).resolve("env") == ("own", "odibi.toml")


def test_a_file_from_a_windows_editor(tmp_path):
    """A byte order mark does not matter."""
    (tmp_path / "odibi.toml").write_bytes(b'\xef\xbb\xbfenv = "qat"')
    assert load(tmp_path).get("env") == "qat"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("env = qat", "odibi.toml: Invalid value (at line 1, column 7)"),
        ('enf = "qat"', "unknown field 'enf' (did you mean 'env'?) - at odibi.toml.enf"),
        ("env = 3", "expected `str | null`, got `int`, found 3 - at odibi.toml.env"),
        ("max_workers = 0", "expected `int` >= 1, found 0 - at odibi.toml.max_workers"),
        (
            'max_workers = "2"',
            "expected `int | null`, got `str`, found '2' - at odibi.toml.max_workers",
        ),
        (
            'on_error = "stopp"',
            "expected 'continue' or 'stop', found 'stopp' (did you mean 'stop'?)",
        ),
        ('schedule = "graf"', "expected 'layers' or 'graph', found 'graf' (did you mean 'graph'?)"),
        (
            'ui = "htlm"',
            "expected 'auto' or 'plotly' or 'widgets' or 'html' or 'text', found 'htlm' (did you mean 'html'?)",
        ),
        ('project_dirs = "projects"', "expected `array`, got `str`, found 'projects'"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, text, message):
    """A mistake in the settings file gives the file, the setting and the possible values."""
    write(tmp_path, text)
    assert message in refused(tmp_path)


def test_everything_wrong_with_a_file_at_once(tmp_path):
    """One error lists all mistakes."""
    write(tmp_path, 'enf = 1\nenv = 2\nui = "x"')
    text = refused(tmp_path)
    assert text.startswith(f"{tmp_path / 'odibi.toml'}: 3 problems")


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nodibi = 3", "[[tool.odibi]]"])
def test_a_pyproject_of_odd_shape(tmp_path, text):
    """A pyproject.toml whose tool.odibi is not a table gives no traceback."""
    write(tmp_path, text, "pyproject.toml")
    if text == "tool = 3":
        assert load(tmp_path).file == {}
    else:
        assert "expected an object" in refused(tmp_path)


def test_a_file_that_is_no_text(tmp_path):
    """A file in another encoding gives one message."""
    (tmp_path / "odibi.toml").write_bytes(b'env = "\xff"')
    assert "odibi.toml" in refused(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ODIBI_MAX_WORKERS", "many", "expected `int | null`, got `str`, found 'many'"),
        ("ODIBI_MAX_WORKERS", "0", "expected `int` >= 1, found '0'"),
        ("ODIBI_SAVE_LOGS", "maybe", "expected `bool | null`, got `str`, found 'maybe'"),
        (
            "ODIBI_UI",
            "htlm",
            "expected 'auto' or 'plotly' or 'widgets' or 'html' or 'text', found 'htlm' (did you mean 'html'?)",
        ),
        ("ODIBI_ON_ERROR", "x", "expected 'continue' or 'stop', found 'x'"),
    ],
)
def test_what_is_wrong_with_a_variable(tmp_path, name, value, message):
    """A mistake in an environment variable gives its name and the possible values."""
    assert refused(tmp_path, **{name: value}) == f"environment variables: {message} - at {name}"


def test_everything_wrong_with_variables_at_once(tmp_path):
    """All variables are checked."""
    assert "2 problems" in refused(tmp_path, ODIBI_MAX_WORKERS="x", ODIBI_SAVE_LOGS="y")


def test_variables_that_mean_nothing():
    """ODIBI_* variables that are not settings are pointed out, with a suggestion."""
    assert unknown_variables({"ODIBI_ENGIN": "x", "ODIBI_ENV": "y", "PATH": "z"}) == [
        "ODIBI_ENGIN (did you mean 'ODIBI_ENGINE'?)"
    ]
    assert unknown_variables({"ODIBI_XYZ": "x"}) == ["ODIBI_XYZ"]


def test_no_file_and_no_variable(tmp_path):
    """Without any setting everything has its default."""
    assert load(tmp_path) == Settings()


def test_settings_do_not_reach_the_core(project, monkeypatch):
    """The core's orchestrator reads no settings: only the API and the commands do."""
    monkeypatch.setenv("ODIBI_TARGET", "x")
    monkeypatch.setenv("ODIBI_MAX_WORKERS", "many")
    assert project(row("A", lambda: None)).run()["status"] == "success"


@pytest.fixture
def session():
    """Remove the settings of this process."""
    yield
    for name in NAMES:
        set_for_session(name, None, "")


def test_the_session_comes_before_the_file(tmp_path, session):
    """Settings of the process override the file, and a call's argument overrides them, until they are removed."""
    write(tmp_path, 'env = "file"')
    set_for_session("env", "prod", "%config")
    assert load(tmp_path).resolve("env") == ("prod", "%config")
    assert load(tmp_path).resolve("env", "argument") == ("argument", "argument")
    set_for_session("env", None, "%config")
    assert load(tmp_path).resolve("env") == ("file", "odibi.toml")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("engine", "pandsa", "engine: expected 'pandas' or 'spark', found 'pandsa'"),
        ("on_error", "stopp", "found 'stopp' (did you mean 'stop'?)"),
        ("log_level", "infoo", "found 'INFOO' (did you mean 'INFO'?)"),
        ("max_workers", 0, "max_workers: expected `int` >= 1, found 0"),
    ],
)
def test_a_value_is_checked_at_once(name, value, message):
    """An invalid value is refused with the possible ones."""
    with pytest.raises(SettingsError) as refusal:
        checked_setting(name, value)
    assert message in str(refusal.value)


def test_case_does_not_count_where_it_says_nothing(tmp_path):
    """Engines and log levels may be in any case, in every source."""
    write(tmp_path, 'engine = "Pandas"')
    settings = load(tmp_path, ODIBI_LOG_LEVEL="info")
    assert (settings.get("engine"), settings.get("log_level")) == ("pandas", "INFO")
    assert checked_setting("engine", "SPARK") == "spark"
    assert checked_setting("engine", None) is None
