"""Manifests: what is understood, everything that is wrong at once, and where they are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from odibi_nb.core.model.manifest import (
    ProjectManifest,
    RegistryConfig,
    find_manifest,
    manifest_paths,
    plain_slug,
    shown_path,
)
from odibi_nb.errors import ManifestError

SEED = {
    "project": "Energy Efficiency",
    "description": "Energy monitoring and efficiency analytics",
    "layer_order": ["Bronze", "Silver_1", "Gold_1"],
    "cache_plan": {"Gold_1": ["qat_energy_efficiency.aggregated_metrics"]},
}


def write(folder, content, name="manifest.json"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def said(excinfo):
    return [str(problem) for problem in excinfo.value.problems]


def parse(**content):
    return ProjectManifest.from_dict({"project": "P", **content})


def refused(**content):
    with pytest.raises(ManifestError) as excinfo:
        parse(**content)
    return said(excinfo)


# -- content -----------------------------------------------------------------------------------


def test_the_seeds_manifest(tmp_path):
    """The seed's example is understood as it stands."""
    manifest = ProjectManifest.from_json(write(tmp_path, SEED))
    assert manifest.project == "Energy Efficiency"
    assert manifest.layer_order == ("Bronze", "Silver_1", "Gold_1")
    assert manifest.cache_plan == {"Gold_1": ("qat_energy_efficiency.aggregated_metrics",)}
    assert manifest.folder == tmp_path


def test_the_frameworks_older_key():
    """`project_name` stands for `project`; `project` wins where both stand."""
    assert ProjectManifest.from_dict({"project_name": "P"}).project == "P"
    assert ProjectManifest.from_dict({"project_name": "P", "project": "Q"}).project == "Q"
    assert ProjectManifest.from_dict({"project_name": "P", "project": None}).project == "P"


def test_everything_optional():
    """Every key of the design is understood."""
    manifest = parse(
        version="2",
        owner="us",
        tags=["a"],
        layer_order=["Bronze", "Gold"],
        layers={
            "Gold": {
                "description": "d",
                "max_workers": 2,
                "cache_tables": ["g.t"],
                "retry": {"max_retries": 0},
                "timeout_seconds": 5,
                "depends_on": ["Bronze"],
            }
        },
        environments={
            "qat": {
                "engine": "pandas",
                "registry": {"url": "sqlite:///r.db", "table": "T", "schema": "s"},
                "lake": "lake",
                "spark": {"remote": "sc://localhost"},
                "locations": {"adls://raw": "data"},
                "protected": True,
                "run_log": "log.runs",
            }
        },
        default_env="qat",
        entity_labels={"entity_1": "plant"},
        transformation_modules=["mine"],
        parameters={"a": 1},
    )
    config = manifest.environment("qat")
    assert config.registry == RegistryConfig(url="sqlite:///r.db", table="T", schema="s")
    assert config.protected is True
    assert manifest.layers["Gold"].timeout_seconds == 5


def test_everything_wrong_at_once():
    """All problems are reported together, each with its JSON path and a guess at what was meant."""
    assert refused(
        layer_ordr=["Bronze"],
        description=3,
        cache_plan=["t"],
        layers={"Bronze": {"max_worker": 2}, "Gold_1": 5},
    ) == [
        "unknown field 'layer_ordr' (did you mean 'layer_order'?) - at $.layer_ordr",
        "expected `str`, got `int`, found 3 - at $.description",
        "expected `object`, got `array`, found ['t'] - at $.cache_plan",
        "unknown field 'max_worker' (did you mean 'max_workers'?) - at $.layers.Bronze.max_worker",
        "expected an object, found 5 - at $.layers.Gold_1",
    ]


def test_everything_inconsistent_at_once():
    """Layers and environments that do not exist are found, all of them."""
    problems = refused(
        layer_order=["Bronze", "bronze", ""],
        cache_plan={"Brnz": ["t.t"]},
        layers={"Bronze": {"max_workers": 0, "timeout_seconds": 0}},
        environments={"qat": {"engin": "pandas"}, "prod": {"protected": "no"}},
        default_env="qta",
    )
    text = "\n".join(problems)
    for part in (
        "$.layer_order",
        "unknown layer 'Brnz' (did you mean 'Bronze'?) - at $.cache_plan.Brnz",
        "expected at least 1, found 0 - at $.layers.Bronze.max_workers",
        "$.layers.Bronze.timeout_seconds",
        "unknown env 'qta' (did you mean 'qat'?) - at $.default_env",
        "unknown field 'engin' (did you mean 'engine'?) - at $.environments.qat.engin",
        "expected `bool`, got `str`, found 'no' - at $.environments.prod.protected",
    ):
        assert part in text
    assert "names layer 'bronze' twice - at $.layer_order" in problems
    assert "is empty - at $.layer_order[2]" in problems
    assert len(problems) == 8


def test_a_layer_depends_on_layers_before_it():
    """A layer cannot wait for a layer that comes after it in the order, and a project has layers."""
    assert refused(layer_order=["Bronze", "Gold"], layers={"Bronze": {"depends_on": ["Gold"]}}) == [
        "'Gold' does not come before it in layer_order - at $.layers.Bronze.depends_on"
    ]
    assert refused(layer_order=[]) == ["names no layer - at $.layer_order"]


def test_a_manifest_without_a_file_is_in_memory():
    """Messages name a manifest by its path, relative to the working directory, or say that it has none."""
    assert shown_path(parse().path) == "memory"
    assert shown_path(Path.cwd() / "a" / "manifest.json") == str(Path("a", "manifest.json"))
    assert shown_path(Path("/elsewhere/manifest.json")) == str(Path("/elsewhere/manifest.json"))


@pytest.mark.parametrize("raw", [[], "text", None, 3])
def test_a_manifest_is_an_object(raw):
    """Anything but an object is refused in one line."""
    with pytest.raises(ManifestError, match="expected an object"):
        ProjectManifest.from_dict(raw)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "required field 'project' is missing"),
        ({"project": ""}, "is empty"),
        ({"project": " "}, "is empty"),
        ({"project": 3}, "expected `str`, got `int`, found 3"),
    ],
)
def test_a_manifest_names_its_project(content, message):
    """Without a project's name there is no manifest."""
    with pytest.raises(ManifestError) as excinfo:
        ProjectManifest.from_dict(content)
    assert message in str(excinfo.value)


def test_malformed_json_has_line_and_column(tmp_path):
    """A syntax error names the file, the line and the column, in one line."""
    path = write(tmp_path, '{\n  "project": "P",\n  "layer_order": ["Bronze",]\n}')
    with pytest.raises(ManifestError) as excinfo:
        ProjectManifest.from_json(path)
    assert str(excinfo.value).startswith(f"{path}: JSON is malformed: trailing comma")
    assert "line 3, column 28" in str(excinfo.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"project": "P",\n "layers": {"Bronze": {"retry": {}, "retry": {"max_retries": 0}}}}',
            "key 'retry' occurs twice: line 2, column 24 and line 2, column 37",
        ),
        (
            '{"project": "P", "environments": {"qat": {}, "prod": {"protected": true}, "prod": {}}}',
            "key 'prod' occurs twice: line 1, column 46 and line 1, column 75",
        ),
    ],
)
def test_what_a_manifest_says_twice(tmp_path, text, message):
    """A key twice is a problem that names both places; no parser's choice makes prod unprotected."""
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ManifestError) as wrong:
        ProjectManifest.from_json(tmp_path / "manifest.json")
    assert message in str(wrong.value)


def test_a_manifest_from_a_windows_editor(tmp_path):
    """A byte order mark does not matter."""
    path = tmp_path / "manifest.json"
    path.write_bytes(b'\xef\xbb\xbf{"project": "P"}')
    assert ProjectManifest.from_json(path).project == "P"


# -- environments ------------------------------------------------------------------------------


def test_environments_as_a_list():
    """Older manifests list environments by name; each has the defaults."""
    manifest = parse(environments=["qat", "prod"])
    assert list(manifest.environments) == ["qat", "prod"]
    assert manifest.environment("prod").engine is None


def test_environments_as_a_list_of_names_only():
    """A list of environments holds names; anything else in it is a problem with its place."""
    assert refused(environments=["qat", {"name": "prod"}, 3]) == [
        "expected an environment's name, found {'name': 'prod'} - at $.environments[1]",
        "expected an environment's name, found 3 - at $.environments[2]",
    ]


def test_no_environments_means_any():
    """A manifest without environments, as the seed's, runs in whichever is asked for."""
    assert parse().environment("anything").lake is None


def test_variables_are_expanded_only_for_the_environment_used(monkeypatch):
    """A secret of prod need not be set where qat runs."""
    monkeypatch.setenv("QAT_LAKE", "/lake")
    monkeypatch.delenv("PROD_URL", raising=False)
    manifest = parse(
        environments={
            "qat": {"lake": "${QAT_LAKE}/x"},
            "prod": {"registry": {"url": "${PROD_URL}"}, "locations": {"a": "${PROD_A}"}},
        }
    )
    assert manifest.environment("qat").lake == "/lake/x"
    with pytest.raises(ManifestError) as excinfo:
        manifest.environment("prod")
    assert said(excinfo) == [
        "environment variable PROD_URL is not set - at $.environments.prod.registry.url",
        "environment variable PROD_A is not set - at $.environments.prod.locations.a",
    ]


@pytest.mark.parametrize(
    ("lake", "message"),
    [
        ("~/lake", "~ is not expanded, found '~/lake': write ${HOME}/lake"),
        ("$HOME/lake", "$HOME is not expanded: write ${HOME}"),
        ("$LAKE", "$LAKE is not expanded: write ${LAKE}"),
        ("  ", "is blank, found '  '"),
    ],
)
def test_a_lake_that_only_a_shell_would_find(lake, message):
    """A folder called ~ or $HOME is not made: the message shows the form that the manifest expands."""
    manifest = parse(environments={"qat": {"lake": lake}})
    with pytest.raises(ManifestError) as excinfo:
        manifest.environment("qat")
    assert said(excinfo) == [f"{message} - at $.environments.qat.lake"]


def test_a_lake_may_have_a_dollar_sign():
    """Two dollar signs are one, and a dollar sign within a name is no variable."""
    for lake, found in (("$$LAKE/x", "$LAKE/x"), ("a$b", "a$b"), ("lake~1", "lake~1"), ("", "")):
        assert parse(environments={"qat": {"lake": lake}}).environment("qat").lake == found


def test_an_unknown_environment_is_one_clear_message():
    """It suggests a name, or lists the existing ones."""
    manifest = parse(environments=["qat", "production"])
    with pytest.raises(ManifestError) as excinfo:
        manifest.environment("qta")
    assert said(excinfo) == ["unknown env 'qta' (did you mean 'qat'?) - at $.environments"]
    for name in ("xyz", None):
        with pytest.raises(ManifestError, match="it has qat, production"):
            manifest.environment(name)


def test_a_password_in_the_wrong_place_is_not_shown(monkeypatch):
    """An environment that is malformed is reported without its secrets."""
    monkeypatch.setenv("URL", "postgresql://u:hunter2@h/db")
    for environment in ({"connections": ["${URL}"]}, {"spark": "${URL}"}, {"registry": ["${URL}"]}):
        with pytest.raises(ManifestError) as excinfo:
            parse(environments={"qat": environment}).environment("qat")
        assert "hunter2" not in str(excinfo.value)


# -- layers ------------------------------------------------------------------------------------


def test_target_layers_keep_the_manifests_order():
    """However they are asked for, layers come in the manifest's order, spelt as it spells them."""
    manifest = parse(layer_order=["Bronze", "Silver_1", "Silver_2", "Gold_1"])
    assert manifest.select_layers(["gold_1", "BRONZE", "Gold_1"]) == ("Bronze", "Gold_1")
    assert manifest.select_layers(None) == manifest.layer_order
    assert manifest.select_layers([]) == manifest.layer_order


def test_unknown_layers_are_all_named():
    """Each layer that the manifest lacks is named, with what was probably meant."""
    with pytest.raises(ManifestError) as excinfo:
        parse().select_layers(["Sliver_1", "Bronze", "Platinum"])
    assert said(excinfo) == [
        "unknown layer 'Sliver_1' (did you mean 'Silver_1'?) - at target_layers",
        "unknown layer 'Platinum': layer_order is Bronze, Silver_1, Gold_1 - at target_layers",
    ]


# -- discovery ---------------------------------------------------------------------------------


def test_the_seeds_order(tmp_path):
    """projects/<slug>/, then ./<slug>/, then ../projects/<slug>/."""
    here = tmp_path / "here"
    places = [here / "projects", here, tmp_path / "projects"]
    for i, place in enumerate(places):
        write(place / "energy_efficiency", {**SEED, "version": str(i)})
    for i, place in enumerate(places):
        assert find_manifest("Energy Efficiency", start=here).version == str(i)
        (place / "energy_efficiency" / "manifest.json").unlink()
    with pytest.raises(ManifestError, match="no manifest found"):
        find_manifest("Energy Efficiency", start=here)


def test_a_folder_of_any_name(tmp_path):
    """A manifest that names the project is found whatever its folder is called, in any case."""
    write(tmp_path / "projects" / "ee-2025", SEED)
    for name in ("Energy Efficiency", "energy efficiency", "energy_efficiency"):
        assert find_manifest(name, start=tmp_path).project == "Energy Efficiency"


def test_the_folder_we_stand_in(tmp_path):
    """The manifest of the current folder counts too."""
    write(tmp_path, SEED)
    assert find_manifest("Energy Efficiency", start=tmp_path).folder == tmp_path


def test_more_folders(tmp_path):
    """Folders from the settings are looked at after the seed's."""
    write(tmp_path / "elsewhere" / "x", SEED)
    assert find_manifest("Energy Efficiency", folders=["elsewhere"], start=tmp_path)


def test_a_folder_of_the_right_name_but_another_project(tmp_path):
    """The folder's name alone does not make it the project."""
    write(tmp_path / "projects" / "energy_efficiency", {"project": "Other"})
    with pytest.raises(ManifestError, match=r"no manifest found; manifests found: 'Other'"):
        find_manifest("Energy Efficiency", start=tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "O'Brien & Co",
        "Größe – Süd",
        "日本の工場",
        "a/b",
        "..",
        ".",
        "../../etc",
        "C:\\x",
        "x" * 300,
        "tab\there",
        "nul\0",
        "%2e%2e",
        "*",
        "-",
    ],
)
def test_any_name_is_a_fine_name(tmp_path, name):
    """Quotes, blanks, any alphabet, slashes, dots and NUL in a project's name do no harm."""
    write(tmp_path / "projects" / "folder", {"project": name})
    write(tmp_path / "projects" / "other", {"project": "Other"})
    write(tmp_path / "manifest.json.d" / "x", {"project": "Third"})
    assert find_manifest(name, start=tmp_path).project == name
    assert not set(plain_slug(name)) - set("abcdefghijklmnopqrstuvwxyz0123456789_")


def test_no_name_is_no_project(tmp_path):
    """An empty name finds nothing, whatever there is."""
    write(tmp_path / "projects" / "folder", {"project": "日本"})
    for name in ("", "  "):
        with pytest.raises(ManifestError, match="no manifest found"):
            find_manifest(name, start=tmp_path)


def test_two_alphabets_do_not_mix(tmp_path):
    """Names that have the same plain letters are still different names."""
    write(tmp_path / "projects" / "a", {"project": "日本"})
    write(tmp_path / "projects" / "b", {"project": "中国"})
    assert find_manifest("中国", start=tmp_path).project == "中国"


def test_an_unknown_project_is_one_clear_message(tmp_path):
    """It suggests a name, and lists the searched places."""
    write(tmp_path / "projects" / "energy_efficiency", SEED)
    with pytest.raises(ManifestError) as excinfo:
        find_manifest("Energy Eficiency", start=tmp_path)
    text = str(excinfo.value)
    assert text.startswith("project 'Energy Eficiency': no manifest found (did you mean")
    assert "'Energy Efficiency'" in text
    assert (
        f"projects/*/manifest.json, ./*/manifest.json, ../projects/*/manifest.json from {tmp_path}"
        in text
    )
    assert "\n" not in text


def test_a_manifest_that_cannot_be_read_is_mentioned(tmp_path):
    """If no manifest fits, the message names the malformed ones, because it may be one of them."""
    path = write(tmp_path / "projects" / "ee", '{"project": "Energy Efficiency",}')
    with pytest.raises(ManifestError) as excinfo:
        find_manifest("Energy Efficiency", start=tmp_path)
    assert len(excinfo.value.problems) == 2
    assert f"{path}: JSON is malformed" in str(excinfo.value)


def test_a_malformed_manifest_in_the_projects_own_folder(tmp_path):
    """A broken manifest where the seed looks is an error, not a reason to look on."""
    write(tmp_path / "projects" / "energy_efficiency", "{")
    write(tmp_path / "energy_efficiency", SEED)
    with pytest.raises(ManifestError, match="line 1"):
        find_manifest("Energy Efficiency", start=tmp_path)


def test_two_manifests_of_the_same_project(tmp_path):
    """If two folders of other names hold the same project, odibi_nb refuses to guess."""
    one = write(tmp_path / "projects" / "a", SEED)
    two = write(tmp_path / "b", SEED)
    with pytest.raises(ManifestError) as excinfo:
        find_manifest("Energy Efficiency", start=tmp_path)
    text = str(excinfo.value)
    assert str(one) in text
    assert str(two) in text
    assert "manifest_path" in text
    write(tmp_path / "projects" / "energy_efficiency", {**SEED, "version": "own"})
    assert find_manifest("Energy Efficiency", start=tmp_path).version == "own"


def test_a_folders_own_manifest_is_found_by_the_folders_name(tmp_path):
    """A folder's name finds the manifest in that folder, even if another project has a name alike."""
    own = write(tmp_path / "projects" / "energy_efficiency", SEED)
    write(tmp_path / "projects" / "other", {**SEED, "project": "Energy-Efficiency"})
    assert find_manifest("energy_efficiency", start=tmp_path).path == own


def test_the_same_manifest_is_found_once(tmp_path):
    """A folder that is reached in two ways is one project."""
    write(tmp_path / "projects" / "ee", SEED)
    start = tmp_path / "projects"
    assert len(manifest_paths(start=start)) == 1
    assert find_manifest("Energy Efficiency", start=start)


def test_an_explicit_path_is_never_replaced_by_another(tmp_path):
    """A path that does not exist is an error, even where discovery would find the project."""
    write(tmp_path / "projects" / "energy_efficiency", SEED)
    path = tmp_path / "missing.json"
    with pytest.raises(ManifestError, match="cannot be read: No such file") as excinfo:
        find_manifest("Energy Efficiency", path, start=tmp_path)
    assert str(path) in str(excinfo.value)


@pytest.mark.parametrize("path", ["", ".", "nul\0.json", "x" * 300])
def test_an_explicit_path_that_is_no_file(tmp_path, path, monkeypatch):
    """Folders and impossible names end in the same kind of message."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestError, match="cannot be read"):
        find_manifest("P", path)


def test_an_explicit_path_to_another_project(tmp_path):
    """The manifest at the given path must be of the project that was asked for."""
    path = write(tmp_path, SEED, "any name.json")
    assert find_manifest("", path).project == "Energy Efficiency"
    assert find_manifest("energy_efficiency", path).project == "Energy Efficiency"
    with pytest.raises(ManifestError, match="is 'Energy Efficiency', not 'Other'"):
        find_manifest("Other", path)
