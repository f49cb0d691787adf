"""Plans for pictures, with fake engines."""

from __future__ import annotations

from fakes import FakeProject, row

LAYERS = ("Bronze", "Silver_1", "Gold_1")


def nothing():
    pass


def planned(folder, *rows, layers=LAYERS):
    """The plan of these registry rows."""
    project = FakeProject(folder, list(rows), manifest={"layer_order": list(layers)})
    return project.orchestrator().plan()


def task(name, layer="Bronze", after=(), **columns):
    """Return a row that writes a table of its name and reads the tables of *after*."""
    inputs = [f"t.{other}" for other in after]
    return row(
        name, nothing, layer=layer, inputs=inputs, outputs=[{"table": f"t.{name}"}], **columns
    )


def ladder(count):
    """Return rows over three layers. Each reads two of the layer before, and one skips a layer."""
    rows = []
    size = count // 3
    for i in range(count):
        level = min(i // size, 2)
        name = f"{LAYERS[level].upper()}_{i:04}"
        before = []
        if level:
            before = [
                rows[(level - 1) * size + k % size]["transformation_id"] for k in (i, 3 * i + 1)
            ]
        if level == 2:
            before.append(rows[i % size]["transformation_id"])
        rows.append(task(name, LAYERS[level], dict.fromkeys(before)))
    return rows
