"""Which rows a report reads: filters, time ranges, intervals, rollups and SQL statements."""
