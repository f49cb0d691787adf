"""Spark's own Connect server for tests: a JVM of its own on a free loopback port."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from odibi_nb.engines.spark import jvm as spark_jvm

PATIENCE = 120
_STARTED = re.compile(r"Spark Connect server started at: \S+:(\d+)")
_running: list[tuple[subprocess.Popen, str]] = []
_folders: list[Path] = []


def server_url(settings):
    """Return the server's address, ``sc://127.0.0.1:port``. The first call starts it.

    Raises:
        EngineError: if there is no Java, or versions do not fit.
        RuntimeError: if it does not start.
    """
    if not _running:
        spark_jvm.check_versions()
        spark_jvm.check_java()
        _running.append(_start(settings))
        atexit.register(stop_server)
    return _running[0][1]


def stop_server():
    """End the server, if it was started."""
    for process, _ in _running:
        process.kill()
        process.wait()
    _running.clear()
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


def _start(settings):
    import pyspark
    from delta import configure_spark_with_delta_pip
    from pyspark.sql import SparkSession

    folder = Path(tempfile.mkdtemp(prefix="odibi-connect-"))
    _folders.append(folder)
    home = Path(pyspark.__file__).parent
    conf = {
        **spark_jvm.local_configuration(folder),
        **settings,
        **configure_spark_with_delta_pip(SparkSession.Builder())._options,
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": "0",
        "spark.connect.progress.reportInterval": "200ms",
    }
    options = [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
    service = "org.apache.spark.sql.connect.service.SparkConnectServer"
    command = [home / "bin" / "spark-submit", "--class", service, *options, "spark-internal"]
    log = folder / "server.log"
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable},
        cwd=folder,
    )
    found = threading.Event()
    port = []

    def listen():
        with log.open("w") as file, process.stdout as said:
            for line in said:
                file.write(line)
                if started := _STARTED.search(line):
                    port.append(started[1])
                    found.set()
        found.set()  # it has ended

    threading.Thread(target=listen, daemon=True).start()
    found.wait(PATIENCE)
    if not port:
        process.kill()
        raise RuntimeError(f"no Spark Connect server: {log.read_text()[-2000:]}")
    return process, f"sc://127.0.0.1:{port[0]}"
