"""``rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.commands.opening import confirmation, opened
from odibi_nb.commands.running import open_to_run, selected, started
from odibi_nb.core.rollback.preparing import raise_for_problems
from odibi_nb.core.running.rollback_run import texts_of
from odibi_nb.views.records import Records
from odibi_nb.wiring import make_frame

if TYPE_CHECKING:
    import argparse

    from odibi_nb.commands.face import Face
    from odibi_nb.core.model.rollback import RollbackPlan, TableRollback

COLUMNS = (
    "table",
    "action",
    "version",
    "restores",
    "rows_removed",
    "rows_restored",
    "written by",
    "written since by",
    "note",
)


def rollback(arguments: argparse.Namespace, face: Face) -> Any:
    """Restore the tables that a run wrote. With ``--dry-run``, return the plan and write nothing."""
    wanted: dict[str, Any] = {
        "select": selected(arguments),
        "force": bool(arguments.force),
        "drop": bool(arguments.drop),
    }
    if arguments.dry_run:
        with opened(arguments) as planned:
            return plan_table(planned.rollback_plan(arguments.run_id, **wanted))
    orchestrator = open_to_run(arguments, face)
    if orchestrator.config.protected and not arguments.yes:
        # A person who types the project's name must know what it will do.
        plan = orchestrator.rollback_plan(arguments.run_id, **wanted)
        raise_for_problems(plan)
        face.say("\n".join(texts_of(plan)))
    confirm = confirmation(orchestrator, face, yes=arguments.yes, action="roll back")
    result = started(
        arguments,
        face,
        orchestrator,
        lambda p: p.rollback(arguments.run_id, **wanted, confirm=confirm),
    )
    if arguments.background or result.transformations:
        return result
    return "\n".join(result.warnings) if arguments.log_level is None else ""


class RefusedRollback(Records):
    """The plan of a rollback that may not begin."""

    exit_code = 2


def plan_table(plan: RollbackPlan) -> Records:
    """Return *plan* as a table, with a row for each table and for each problem."""
    title = f"Rollback of run {plan.run_id} of {plan.project} · env {plan.env}"
    if plan.problems:
        word = "problem" if len(plan.problems) == 1 else "problems"
        title += f" · refused, {len(plan.problems)} {word}"
    rows = [_row(table) for table in plan.tables]
    rows += [{"table": "(refused)", "note": problem} for problem in plan.problems]
    kind = RefusedRollback if plan.problems else Records
    return kind(title, COLUMNS, rows, make_frame)


def _row(table: TableRollback) -> dict[str, Any]:
    return {
        "table": table.table,
        "action": table.action,
        "version": table.version,
        "restores": table.restores if table.action == "restore" else None,
        "rows_removed": table.rows_removed,
        "rows_restored": table.rows_restored,
        "written by": ", ".join(table.writers),
        "written since by": "; ".join(table.others),
        "note": table.note or table.problem,
    }
