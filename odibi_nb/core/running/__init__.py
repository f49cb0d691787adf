"""A run: the orchestrator, the coordinator, the workers, and the context of a function.

The way of a run through these files::

    orchestrator ─► run ─► coordinator ─► worker ─► returned
                     │          │            └─ context, capture, check_evaluation
                     │          └─ inbox, layer_events, event_bus ─► hooks
                     └─ run_recovery, run_folders, atomic, layer_cache

Beside it: the plan of a project (``project_planner``, ``freshness_reader``), its adapters (``open_adapters``,
``authentication``, ``plugins``), and the records of failures (``kept_failures``, ``failure_frames``, ``failure_place``).
"""
