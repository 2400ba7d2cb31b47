"""The analytics benchmark: its data, and the same reports in other ways."""
