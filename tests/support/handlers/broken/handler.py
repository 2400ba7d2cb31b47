"""Does not start."""

raise RuntimeError("no configuration, no service")
