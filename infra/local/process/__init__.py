"""Child processes: supervised, logged, and never left behind."""
