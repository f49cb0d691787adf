"""Read and write text: JSON, TOML, SQL, times, terminal output, errors, and hidden secrets."""
