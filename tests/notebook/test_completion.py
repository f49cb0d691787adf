"""Tab behind %odibi finds its matches in files alone."""

from __future__ import annotations

import json
import sys

import pytest
from fakes import FakeProject, row
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.manager import start_new_kernel
from real_project import make_project

from odibi_nb import run_project
from odibi_nb.notebook.completion import Completer, matcher_of, quoted, words_of
from odibi_nb.notebook.line_words import CallerNames, split_words
from odibi_nb.notebook.local_names import LocalNames

QUOTED = 'Plant "A" \\ 1'


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two projects: one with a space in its name that has run, one with quotes that has not run."""
    make_project(tmp_path)
    other = tmp_path / "projects" / "other"
    other.mkdir()
    manifest = {"project": QUOTED, "layer_order": ["Raw Zone"], "environments": {"dev": {}}}
    (other / "manifest.json").write_text(json.dumps(manifest))
    broken = tmp_path / "projects" / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def find(here):
    """Return the matches at the end of a line, with the replaced text and its purpose."""
    completer = Completer(LocalNames())

    def found(line, cell="", **keywords):
        one = completer.find(line, cell, **keywords)
        return one.fragment, one.texts

    return found


@pytest.mark.parametrize(
    ("line", "fragment", "texts"),
    [
        ("%odibi ru", "ru", ["run"]),
        ("%%odibi pl", "pl", ["plan"]),
        ("x = %odibi hist", "hist", ["history"]),
        ("a, b['c'] = %odibi hist", "", []),
        ("    %odibi hist", "hist", ["history"]),
        ("%odibi registry li", "li", ["list"]),
        ("%odibi run --lay", "--lay", ["--layers"]),
        ("%odibi run --ui w", "w", ["widgets"]),
        ("%odibi run --ui=w", "--ui=w", ["--ui=widgets"]),
        ("%odibi run --schedule ", "", ["layers", "graph"]),
        ("%odibi run --engine s", "s", ["spark"]),
        ("%odibi run --log-level d", "d", ["DEBUG"]),
        ('%odibi run "Plant O', '"Plant O', ['"Plant One"']),
        ("%odibi run 'Plant O", "'Plant O", ['"Plant One"']),
        ("%odibi run plant\\ o", "plant\\ o", ['"Plant One"']),
        ("%odibi run Plant O", "Plant O", ['"Plant One"']),
        ('%odibi run "Plant \\"', '"Plant \\"', ['"Plant \\"A\\" \\\\ 1"']),
        ("%odibi run --env ", "", ["dev", "qat", "prod"]),
        ('%odibi run "Plant One" --env ', "", ["qat", "prod"]),
        ("%odibi run plant_one --env p", "p", ["prod"]),
        ("%odibi cancel --project 'Plant One' --transformation ", "", []),
        ('%odibi run "Plant One" --layers Bronze S', "S", ["Silver_1"]),
        ('%odibi run "Plant One" --layers Bronze b', "b", []),
        ("%odibi run --manifest projects/other/manifest.json --layers r", "r", ['"Raw Zone"']),
        ("%odibi run --manifest pro", "pro", []),
        ("%odibi run --workers ", "", []),
        ("%odibi rnu --", "--", []),
        ("!odibi ru", "", []),
        ("# %odibi ru", "", []),
        ("print('%odibi ru", "", []),
        ("if x == %odibi ru", "", []),
        ("%odibiru", "", []),
    ],
)
def test_what_is_found(find, line, fragment, texts):
    """Commands, options, choices and names are offered in their places, with quotes if needed."""
    found = find(line)
    assert found[1] == texts
    if texts:
        assert found[0] == fragment


def test_values_come_before_options(find):
    """Values come before options, in their own order."""
    texts = find("%odibi run ")[1]
    assert texts[:2] == ['"Plant \\"A\\" \\\\ 1"', '"Plant One"']
    assert texts[2:] == sorted(texts[2:])
    assert "--env" in texts


def test_a_quote_that_is_closed_already_is_not_closed_again(find):
    """In an editor that closes quotes by itself, the line ends with one quote."""
    assert find('%odibi run "Plant O', after='" --env qat')[1] == ['"Plant One']


def test_ids_come_from_past_runs(find, here):
    """Transformations and runs come from the journals, the newest run first, and "last"."""
    first = run_project("Plant One", log_level="CRITICAL")
    second = run_project("Plant One", target_layers=["Bronze"], log_level="CRITICAL")
    assert find("%odibi cancel --transformation ")[1] == ["B1", "S1"]
    assert find("%odibi cancel --transformation s")[1] == ["S1"]
    assert find("%odibi history --run ")[1] == ["last", second.run_id, first.run_id]
    assert find('%odibi history "Plant One" --env prod --run ')[1] == []
    assert find("%odibi cancel ")[1][0] == "--help"  # nothing runs
    assert find(f"%odibi cancel --project {quoted(QUOTED)} --transformation ")[1] == []


@pytest.mark.parametrize(
    ("typed", "texts"),
    [
        ("B", ["B1"]),
        ("+s", ["+S1", "+state:"]),
        ("2+S", ["2+S1", "2+state:"]),
        ("B1,lay", ["B1,layer:"]),
        ("layer:S", ["layer:Silver_1"]),
        ("B1,+layer:br", ["B1,+layer:Bronze"]),
        ("state:fa", ["state:failed"]),
        ("engine:p", ["engine:pandas"]),
        ("tag:x", []),
    ],
)
def test_selectors(find, typed, texts):
    """Behind --select, Tab offers ids, and methods with their values, also after ``+`` and ``,``."""
    run_project("Plant One", log_level="CRITICAL")
    assert find(f"%odibi run 'Plant One' --select X {typed}") == (typed, texts)


def test_a_run_can_be_retried_by_its_id(find):
    """`retry` offers the past runs; `--only` each id once."""
    run = run_project("Plant One", log_level="CRITICAL")
    assert find("%odibi retry ")[1][:2] == ["last", run.run_id]
    assert find("%odibi run 'Plant One' --only B1 ")[1][0] == "S1"
    assert "B1" not in find("%odibi run 'Plant One' --only B1 ")[1]


def test_a_cells_body_names_transformations(find):
    """In the body of %%odibi run, [ offers the tables of its project's transformations."""
    run_project("Plant One", log_level="CRITICAL")
    cell = '%%odibi run "Plant One"\n[B'
    assert find("[B", cell, first=False) == ("B", ["B1]"])
    assert find("[", cell, first=False, after="]") == ("", ["B1", "S1"])
    assert find("x = [B", cell, first=False) == ("", [])
    assert find("[B", "%%time\n[B", first=False) == ("", [])
    assert find("%%odibi ru", "x\n%%odibi ru", first=False) == ("", [])


def test_ids_of_a_plan_are_remembered(here):
    """The ids of a plan are in no file: the kernel keeps them, with quotes for TOML."""
    names = LocalNames()
    names.remember("Plant One", "qat", ["A.1", "B"])
    names.remember("Plant One", "qat", ["C"])
    completer = Completer(names)
    assert completer.find("%odibi cancel --transformation ").texts == ["A.1", "B", "C"]
    found = completer.find("[A", "%%odibi run 'Plant One'\n[A", first=False)
    assert found.texts == ['"A.1"]']


def test_a_changed_manifest_is_read_again(find, here):
    """A manifest is cached until its file changes."""
    assert find("%odibi run --layers R")[1] == ['"Raw Zone"']
    path = here / "projects" / "other" / "manifest.json"
    path.write_text(path.read_text().replace("Raw Zone", "Rough_Zone"))
    assert find("%odibi run --layers R")[1] == ["Rough_Zone"]


def test_settings_count(find, here):
    """The names come from the project in the settings. Broken settings count as none."""
    (here / "odibi.toml").write_text('project = "Plant One"')
    assert find("%odibi run --env ")[1] == ["qat", "prod"]
    (here / "odibi.toml").write_text("project = ")
    assert find("%odibi run --env ")[1] == ["dev", "qat", "prod"]


def test_damaged_journals_have_no_names(find, here):
    """A journal that is empty, torn or not text is skipped, and names of the others are found."""
    run = run_project("Plant One", log_level="CRITICAL")
    runs = here / "projects" / "plant_one" / ".odibi" / "runs"
    for name, data in (("x1", b""), ("x2", b"\xff\n[1]\n{"), ("x3", b"3\n")):
        (runs / name).mkdir()
        (runs / name / "journal.jsonl").write_bytes(data)
    (runs / "x4").write_text("a file")
    with (runs / run.run_id / "journal.jsonl").open("ab") as file:
        file.write(b'{"event":"transform_start","transfor')
    assert find("%odibi history --run ")[1] == ["last", run.run_id]
    assert find("%odibi cancel --transformation ")[1] == ["B1", "S1"]


def test_a_running_run_can_be_cancelled_by_name(tmp_path, monkeypatch):
    """`cancel` offers the running runs, and no ended ones."""
    project = FakeProject(tmp_path, [row("A", lambda: seen.append(find()))])
    monkeypatch.chdir(tmp_path)
    seen = []

    def find():
        return Completer(LocalNames()).find("%odibi cancel 2").texts

    result = project.run()
    assert seen == [[result.run_id]]
    assert find() == []


def test_nothing_is_imported_and_nothing_raised(find, here, monkeypatch):
    """Completion imports no module of the user's. After an error it finds nothing."""
    (here / "projects" / "plant_one" / "plant_functions.py").write_text("1 / 0")
    heavy = {"pandas", "sqlalchemy", "deltalake", "plant_functions"} - set(sys.modules)
    find('%odibi run "Plant One" --layers ')
    assert not heavy & set(sys.modules)
    names = LocalNames()
    monkeypatch.setattr(names, "manifests", lambda *_: 1 / 0)

    class Context:
        line_with_cursor, cursor_position, cursor_line = "%odibi run ", 11, 0
        full_text = line_with_cursor

    assert matcher_of(lambda: names)(Context()) == {
        "completions": [],
        "matched_fragment": "",
        "suppress": False,
        "ordered": True,
    }


@given(st.text(max_size=40))
def test_any_line_can_be_completed(text):
    """In any line, words follow each other, and the replaced text is part of the line."""
    words = words_of(text)
    assert [word.start for word in words] == sorted({word.start for word in words})
    assert Completer(LocalNames()).find(f"%odibi {text}").fragment in f"%odibi {text}"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_a_quoted_word_is_one_word(text):
    """The magic and the completion read an offered text as the same single word."""
    assert split_words(quoted(text), CallerNames()) == [text]
    words = words_of(quoted(text) + " ")
    assert [word.text for word in words] == [text, ""]


# -- over the kernel's protocol ----------------------------------------------------------------


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel in a folder with one project, the extension loaded."""
    folder = tmp_path_factory.mktemp("kernel")
    make_project(folder)
    manager, client = start_new_kernel(cwd=str(folder))
    client.execute_interactive("%load_ext odibi_nb", output_hook=lambda _: None, timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def completed(client, code, cursor=None):
    """Return the code with each match inserted."""
    cursor = len(code) if cursor is None else cursor
    reply = client.complete(code, cursor, reply=True, timeout=30)["content"]
    return [
        code[: reply["cursor_start"]] + match + code[reply["cursor_end"] :]
        for match in reply["matches"]
    ]


def test_a_kernel_completes(kernel):
    """complete_request finds our matches alone, on any line, for both signs."""
    assert completed(kernel, '%odibi run "Plant O') == ['%odibi run "Plant One"']
    assert completed(kernel, "x = 1\nr = %odibi his") == ["x = 1\nr = %odibi history"]
    assert completed(kernel, "%%odibi run --env q") == ["%%odibi run --env qat"]
    assert completed(kernel, '%odibi run "Pl" --env qat', 14) == [
        '%odibi run "Plant One" --env qat'
    ]
    assert "!odibi history" not in completed(kernel, "!odibi his")


def test_a_planned_cell_can_be_completed(kernel):
    """After %odibi plan Tab offers the ids, before any run."""
    kernel.execute_interactive("p = %odibi plan", output_hook=lambda _: None, timeout=60)
    cell = '%%odibi run "Plant One"\n['
    assert completed(kernel, cell) == [f"{cell}B1]", f"{cell}S1]"]


def test_unloading_takes_completion_away(kernel):
    """After %unload_ext Tab offers none of our matches. A reload does not double them."""
    for code, found in (
        ("%reload_ext odibi_nb", ["%odibi run"]),
        ("%unload_ext odibi_nb", []),
        ("%load_ext odibi_nb", ["%odibi run"]),
    ):
        kernel.execute_interactive(code, output_hook=lambda _: None, timeout=60)
        assert [x for x in completed(kernel, "%odibi ru") if x == "%odibi run"] == found
    printed = []
    kernel.execute_interactive(
        "print(len(get_ipython().Completer.custom_matchers))",
        output_hook=lambda message: printed.append(message["content"].get("text")),
        timeout=60,
    )
    assert "1\n" in printed
