"""Views of a run and its log, during the run and afterwards.

From events to pictures::

    state ─► row_state, eta            the state of the rows, and the expected end
      ├─ gantt ─► lanes, segment       the chart: gantt_svg, gantt_live_svg and gantt_plotly draw it
      ├─ head                          the lines above the chart
      ├─ table ─► failed_row, row_change, attempt_log
      └─ console, console_lines        the same as lines of text

Parts of a run that a saved notebook has: ``bundles``, ``run_page``, ``outcome``, ``kept_picture``. Other runs: ``shown_run``,
``other_run``, ``run_history``, ``run_comparison``.
"""
