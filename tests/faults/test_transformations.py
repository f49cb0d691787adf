"""Faults of transformations: exceptions, hangs, huge messages, wide frames."""

from __future__ import annotations

import pytest

DOWNSTREAM = {"SILVER_002", "SILVER_008", "GOLD_001", "GOLD_002", "GOLD_004"}
RAISED = {
    "SystemExit": "raise SystemExit(3)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "MemoryError": "raise MemoryError",
    "RecursionError": "def f(): f()\nf()",
    "Unpicklable": (
        "class Unpicklable(Exception):\n"
        "    def __reduce__(self): raise TypeError('cannot pickle')\n"
        "raise Unpicklable(sys.stdout)"
    ),
    "Mute": "class Mute(Exception):\n    def __str__(self): raise ValueError('no words')\nraise Mute",
    "BaseException": "raise BaseException('of no kind')",
}


@pytest.mark.parametrize("kind", RAISED)
def test_whatever_a_transformation_raises_is_its_own_failure(example, kind):
    """An exception fails only its row: dependants are skipped, other rows run, and the message names the row."""
    row = example.fault("BRONZE_002", RAISED[kind])
    result = example.run(retry=0)
    found = result.transformations
    assert result["status"] == "failed"
    assert [t.transformation_id for t in result.failures()] == ["BRONZE_002"]
    assert found["BRONZE_002"].error_type == kind
    skipped = {name for name, t in found.items() if t.status == "SKIPPED"}
    assert skipped
    assert all("upstream" in found[name].reason for name in skipped)
    assert len(found) - len(skipped) - 1 == sum(t.status == "SUCCESS" for t in found.values())
    assert "BRONZE_002" in result.summary()
    assert kind in result._repr_html_()
    example.check_lake()
    example.check_log(result)
    example.mend(row)
    example.check_next_run()


def test_a_hung_transformation_fails_at_its_timeout(example):
    """A row that never ends is FAILED at its timeout. Its thread is counted, and the other rows run."""
    go = example.folder / "go"
    hang = f"while not os.path.exists({str(go)!r}): time.sleep(0.01)"
    row = example.fault("BRONZE_002", hang, timeout_seconds=0.3, retry=0)
    result = example.run()
    assert (result["status"], result.leaked_threads) == ("failed", 1)
    assert result.transformations["BRONZE_002"].error_type == "TimeoutError"
    assert sum(t.status == "SUCCESS" for t in result.transformations.values()) > 10
    go.touch()
    example.check_log(result)
    example.mend(row)
    example.check_next_run()


def test_ten_megabytes_of_error_are_cut(example):
    """An error message of 10 MB is cut in log, result and page, and the run and its log are complete."""
    row = example.fault("BRONZE_002", "raise ValueError('boom ' * 2_000_000)")
    result = example.run(retry=0)
    failed = result.transformations["BRONZE_002"]
    assert failed.error_message.startswith("boom boom")
    assert len(failed.error_message) < 20_000
    assert len(result._repr_html_()) < 1_000_000
    kept = {r["transformation_id"]: r for r in example.log(result.run_id)}
    assert kept["BRONZE_002"]["error_message"].startswith("boom boom")
    example.check_log(result)
    example.mend(row)
    example.check_next_run()


def test_one_worker_is_enough(example):
    """A pool of one worker runs everything, also when a row is retried."""
    marker = example.folder / "tried"
    flaky = (
        f"if not os.path.exists({str(marker)!r}):\n"
        f"    open({str(marker)!r}, 'w').close()\n"
        "    raise ConnectionError('the source was busy')"
    )
    example.fault("BRONZE_002", flaky)
    result = example.run(max_workers=1)
    assert result["status"] == "success"
    assert result.transformations["BRONZE_002"].attempts == 2
    example.check(result)


def test_two_hundred_columns(example):
    """A frame of 200 columns, and a registry row with 200 foreign columns, work as usual."""
    import pandas as pd

    row = example.fault(
        "BRONZE_002",
        "import pandas as pd\n"
        "wide = pd.DataFrame({f'c{i}': [i, None] for i in range(200)})\n"
        "context.write(wide, 'bronze.wide')",
    )
    result = example.run()
    assert result["status"] == "success"
    assert len(example.rows("bronze", "wide")[0]) == 200
    example.check_log(result)
    import sqlite3

    with sqlite3.connect(example.folder / "registry.db") as database:
        database.execute("BEGIN")  # else each column is a commit, which waits for the disk
        for i in range(200):
            database.execute(f"ALTER TABLE TransformationRegistry ADD COLUMN extra_{i} TEXT")
        database.execute("UPDATE TransformationRegistry SET extra_7 = '<script>'")
    assert len(pd.read_sql("SELECT * FROM TransformationRegistry", database).columns) > 200
    database.close()
    result = example.run()
    assert result["status"] == "success"
    example.check_log(result)
    del row


def test_a_table_deleted_between_layers_fails_who_needs_it(example):
    """A row that reads a table which another program deleted fails with its name. The next run makes the table again."""
    import shutil

    from odibi_nb import HookManager

    hooks = HookManager()

    def delete(payload):
        shutil.rmtree(example.lake / "silver" / "weather")

    hooks.register("layer_end", delete, filters={"layer": "Silver_1"})
    result = example.run(hooks=hooks, cache_plan={})
    culprits = {t.transformation_id for t in result.failures()}
    assert culprits == {"SILVER_007", "SILVER_008"}
    assert all("silver.weather" in t.reason for t in result.failures())
    example.check(result)


def test_readers_see_whole_tables_while_they_are_overwritten(example):
    """Another reader, at any moment of an overwrite, sees the old version or the new one, whole."""
    import threading

    over, seen, wrong = threading.Event(), [], []

    def look():
        while not over.is_set():
            try:
                seen.append(example.content("gold", "daily_energy"))
            except Exception as exc:
                wrong.append(repr(exc))

    reader = threading.Thread(target=look)
    reader.start()
    result = example.run()
    over.set()
    reader.join()
    assert wrong == []
    assert seen
    assert all(content == example.reference["gold", "daily_energy"] for content in seen)
    example.check(result)
