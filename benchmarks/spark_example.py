"""Run the example project in FOLDER on Spark, and print its times as JSON on the last line."""

import time

START = time.perf_counter()

import json  # noqa: E402  the clock runs before anything is loaded
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from odibi_nb import HookManager, run_project  # noqa: E402


def main() -> None:
    """Run, and print the seconds to the end of the first row and of the last row."""
    folder = Path(sys.argv[1])
    ended: list[float] = []
    hooks = HookManager()
    hooks.register("transform_success", lambda _payload: ended.append(time.perf_counter() - START))
    run_project(
        "Energy Efficiency",
        env="qat",
        engine="spark",
        manifest_path=str(folder / "manifest.json"),
        hooks=hooks,
        log_level="ERROR",
    ).raise_for_status()
    print(json.dumps({"first": ended[0], "whole": time.perf_counter() - START}))


if __name__ == "__main__":
    main()
