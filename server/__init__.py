"""How processes start: settings, the two Tornado applications, lifecycle, logs, metrics, CLI, embedded servers."""
