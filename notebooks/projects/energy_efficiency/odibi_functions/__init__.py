"""The transformations of the Energy Efficiency project, one module per medallion layer."""
