"""Files and URLs that registry rows may read."""

import pytest

from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.model.readable_places import Reach, allowed_places
from odibi_nb.core.model.transformation import parse_row


def reach_of(folder, env=None, **manifest):
    """Return the places that rows may read in the environment *env* of a project in *folder*."""
    raw = {"project": "P", "environments": {"qat": env or {}}, **manifest}
    found = ProjectManifest.from_dict(raw, folder / "manifest.json")
    config = found.environment("qat")
    return Reach(config.locations, str(found.folder), allowed_places(found, config))


@pytest.fixture
def project(tmp_path):
    """A project's folder, with a file beside it that rows must not read."""
    (tmp_path / "project" / "data").mkdir(parents=True)
    (tmp_path / "project" / "data" / "a.csv").write_text("a\n1\n")
    (tmp_path / "database").mkdir()
    (tmp_path / "database" / "secret.csv").write_text("a\nhidden\n")
    return tmp_path / "project"


MODULES = {"transformation_modules": ["functions"]}


@pytest.mark.parametrize("deep", [False, True])
def test_without_a_list_plain_paths_and_urls_may_be_read_anywhere(project, deep):
    """A manifest that names neither modules nor locations limits nothing but chained file systems."""
    reach = reach_of(project)
    for location in (
        "data/a.csv",
        "../database/secret.csv",
        "/etc/hosts",
        "https://x/y.csv",
        "s3://b/k",
    ):
        assert reach.refusal(location, deep=deep) == ""


@pytest.mark.parametrize(
    "location",
    [
        "simplecache::file:///etc/hosts",
        "simplecache::https://host/evil.py",
        "filecache::s3://bucket/x.csv",
        "zip://x.csv::file:///tmp/x.zip",
        "https://host/a.csv::zip://b",
        "SimpleCache::https://host/evil.py",
        "simplecache:///etc/hosts",
        "reference://",
        "DIR:///etc",
    ],
)
def test_rows_never_chain_file_systems(project, location):
    """A file system that stands on another one may write local files: refused with or without a list."""
    for manifest in ({}, MODULES, {"allowed_locations": ["/", "https://host"]}):
        assert "chained file systems" in reach_of(project, **manifest).refusal(location)


def test_a_location_of_the_manifest_may_chain_and_a_local_name_may_hold_colons(project):
    """Only the text of rows is untrusted, and a file's name is no URL."""
    (project / "a::b.csv").write_text("a\n")
    env = {"locations": {"adls://raw": "simplecache::memory://raw"}}
    assert reach_of(project, env).refusal("adls://raw/x.csv") == ""
    assert reach_of(project, **MODULES).refusal("a::b.csv") == ""


def test_where_modules_are_listed_so_are_locations(project, tmp_path):
    """The project's folder, the targets of locations and the lake are allowed by default."""
    env = {
        "lake": str(tmp_path / "lake"),
        "locations": {"adls://raw": "https://account/raw", "land:": str(tmp_path / "landing")},
    }
    reach = reach_of(project, env, **MODULES)
    for location in (
        "data/a.csv",
        "./data/../data/*.csv",
        str(project / "new.csv"),
        f"file://{project}/data/a.csv",
        f"FILE://localhost{project}/data/a.csv",
        "adls://raw/2024/x.csv",
        "https://account/raw/x.csv?sas=1",
        f"{tmp_path}/lake/silver/t",
        f"{tmp_path}/landing",
    ):
        assert reach.refusal(location) == "", location
    for location in (
        "../database/secret.csv",
        "data/../../database/secret.csv",
        f"{tmp_path}/lakes/x",
        f"{tmp_path}/landing/../database/secret.csv",
        f"file://{tmp_path}/database/secret.csv",
        f"FiLe://{tmp_path}/database/secret.csv",
        f"local://{tmp_path}/database/secret.csv",
        f"file://{project}/%2e%2e/database/secret.csv",
        f"file://{project}/%252e%252e/database/secret.csv",
        f"{project}/\\.\\./database/secret.csv",
        "data/{a.csv,../../database/secret.csv}",
        "{data,../database}/*.csv",
        "*/../../database/*.csv",
        "/*/*",
        "adls://raw/../other/x.csv",
        "adls://raw/%2e%2e/other/x.csv",
        "adls://RAW/x.csv",
        "adls://raw2/x.csv",
        "https://account/raw2/x.csv",
        "https://account/rawx",
        "https://account@evil/raw/x.csv",
        "https://account:80/raw/x.csv",
        "https://account\\@evil/raw/x.csv",
        "http://account/raw/x.csv",
        "https://evil/https://account/raw/x.csv",
        "s3://bucket/x.csv",
        "http://169.254.169.254/latest/meta-data",
        "s3://bucket/\nx",
        "://x",
    ):
        why = reach.refusal(location)
        assert "the manifest's 'allowed_locations'" in why, location
        assert str(project) in why


def test_links_and_patterns_do_not_lead_out(project, tmp_path):
    """A link to another folder is judged by where it leads, found by name, pattern or folder."""
    outside = tmp_path / "database"
    (project / "data" / "link.csv").symlink_to(outside / "secret.csv")
    (project / "linked").symlink_to(outside)
    (project / "parts").mkdir()
    (project / "parts" / "day=1").symlink_to(outside)
    (project / "parts" / "a" / "b").mkdir(parents=True)
    (project / "parts" / "a" / "b" / "deep.csv").symlink_to(outside / "secret.csv")
    reach = reach_of(project, **MODULES)
    for location in (
        "data/link.csv",
        "data/*.csv",
        "data/l[i]nk.csv",
        "data/l[^a]nk.csv",  # Spark's [!a]
        f"file://{project}/parts/**/deep.csv",  # fsspec's: all folders below
        "data/{link,a}.csv",
        "data",
        "linked/secret.csv",
        "linked/*.csv",
        "l*/secret.csv",
        "parts",
        "linked/../database/secret.csv",
    ):
        assert "allowed_locations" in reach.refusal(location), location
    assert reach.refusal("data/a*.csv") == ""
    (tmp_path / "alias").symlink_to(project)
    assert reach.refusal(f"{tmp_path}/alias/data/a.csv") == ""


def test_patterns_that_cannot_be_followed_are_refused(project):
    """A pattern with ".." behind its first wildcard, or with too many choices, may lead anywhere."""
    (project / "data" / "b").mkdir()
    (project / "data" / "b" / "c.csv").write_text("a\n1\n")
    reach = reach_of(project, **MODULES)
    for location in ("data/*/../../../database/secret.csv", "data/" + "{a,b}" * 12):
        assert "allowed_locations" in reach.refusal(location), location
    for location in ("data", "data/**", "data/{a,b}*", "data/none"):
        assert reach.refusal(location) == "", location
        assert reach.refusal(location, deep=False) == "", location


def test_allowed_locations_take_the_place_of_the_projects_folder(project, tmp_path):
    """The manifest's own list holds with or without a list of modules; "" and [] allow nothing more."""
    named = {"allowed_locations": ["data", "s3://bucket/raw", str(tmp_path / "database")]}
    for more in ({}, MODULES):
        reach = reach_of(project, **named, **more)
        for location in ("data/a.csv", "s3://bucket/raw/x.csv", "../database/secret.csv"):
            assert reach.refusal(location) == "", location
        for location in (
            "manifest.json",
            "s3://bucket/raw#/x",
            "s3://bucket/rawer/x",
            "s3://bucket",
            "s3a://bucket/raw/x",
        ):
            assert "allowed_locations" in reach.refusal(location), location
    assert "allowed_locations" in reach_of(project, allowed_locations=[]).refusal("data/a.csv")


def row(**columns):
    """A parsed registry row."""
    needed = {"transformation_id": "A", "project": "P", "environment": "qat", "layer": "Bronze"}
    found, problems = parse_row({**needed, "module": "m", "function": "f", **columns}, 1)
    assert found is not None, problems
    return found


def test_every_place_that_a_row_names_is_looked_at(project):
    """Inputs in all forms, and the constants of the ready-made functions; of others nothing is known."""
    reach = reach_of(project, **MODULES)
    inputs = [
        "/etc/a",
        {"path": "s3://b/k"},
        {"table": "x", "path": "/etc/b"},
        "silver.t",
        "data/a.csv",
    ]
    assert [where for where, _ in reach.problems(row(inputs=inputs))] == ["inputs[0]", "inputs[1]"]
    ingest = {"module": "odibi_nb.ingest", "function": "load_csv"}
    sources = {"source": ["data/a.csv", "/etc/a", "/etc/b"]}
    assert [w for w, _ in reach.problems(row(constants=sources, **ingest))] == [
        "constants.source"
    ] * 2
    assert not [*reach.problems(row(constants=sources))]
    url = {"url": "sqlite:///x.db", "table": "t"}
    [(where, why)] = reach.problems(row(constants=url, **ingest))
    assert where == "constants.url"
    assert "environments.<env>.connections" in why
    assert not [*reach_of(project).problems(row(constants=url, **ingest))]


def test_rows_bring_no_storage_options(project):
    """Neither an input nor a constant may say how a storage is reached, with or without a list."""
    options = {"storage_options": {"simplecache": {"cache_storage": "functions"}}}
    for reach in (reach_of(project), reach_of(project, **MODULES)):
        found = [
            *reach.problems(row(inputs=[{"path": "data/a.csv", "options": options}])),
            *reach.problems(
                row(
                    module="odibi_nb.ingest", constants={"source": "data/a.csv", "options": options}
                )
            ),
        ]
        assert len(found) == 2
        assert all("environments.<env>.location_options" in why for _, why in found)
