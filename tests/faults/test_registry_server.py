"""Faults of the registry's server: it stops before or during the fetch of the rows."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

import pytest
import sqlalchemy as sa
from faults.example_run import PROJECT
from postgres import postgres_url  # noqa: F401  a fixture

from odibi_nb.errors import RegistryError
from odibi_nb.sources.table import registry_in_database


class Line:
    """A connection to a server that a test cuts at once, or after some bytes of answers."""

    def __init__(self, host, port, after=None):
        self.server, self.after = (host, port), after
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.server)
            for source, target, limit in ((near, far, None), (far, near, self.after)):
                threading.Thread(
                    target=self._pass, args=(source, target, limit), daemon=True
                ).start()

    def _pass(self, source, target, limit):
        passed = 0
        try:
            while data := source.recv(4096):
                passed += len(data)
                if limit is not None and passed > limit:
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self):
        self.listener.close()


@pytest.fixture
def remote(example, postgres_url):  # noqa: F811
    """The example project with its registry on PostgreSQL, through a connection that a test can cut."""
    rows = [dict(row) for row in example.registry.export(PROJECT, "qat")]
    registry = registry_in_database(postgres_url)
    registry.create()
    registry.upsert(rows)
    url = sa.make_url(postgres_url)
    path = example.folder / "manifest.json"
    lines = []

    def through(after):
        line = Line(url.host or "127.0.0.1", url.port or 5432, after)
        lines.append(line)
        manifest = json.loads(path.read_text())
        cut = url.set(host="127.0.0.1", port=line.port)
        manifest["environments"]["qat"]["registry"] = cut.render_as_string(hide_password=False)
        path.write_text(json.dumps(manifest))
        return line

    yield example, through
    for line in lines:
        line.close()


@pytest.mark.parametrize("after", ["gone", 0, 500, 6000])
def test_a_server_that_goes_away_stops_a_run_before_it_starts(remote, after):
    """A server that stops before or during the fetch gives one clear error, and nothing runs."""
    example, through = remote
    line = through(0 if after == "gone" else after)
    if after == "gone":
        line.close()
    before = len(list((example.folder / ".odibi" / "runs").iterdir()))
    with pytest.raises(RegistryError) as caught:
        example.run()
    message = str(caught.value)
    assert "TransformationRegistry" in message
    assert "Traceback" not in message
    assert len(message.splitlines()) < 8
    assert len(list((example.folder / ".odibi" / "runs").iterdir())) == before
    through(None)
    example.check_next_run()
