# Lets %odibi and %%odibi work without %load_ext; nothing is imported until the first use.
try:
    get_ipython().magics_manager.register_lazy("odibi", "odibi_nb")  # type: ignore[name-defined]  # noqa: F821
except Exception:  # noqa: BLE001, S110  a convenience must never cost somebody their kernel
    pass
