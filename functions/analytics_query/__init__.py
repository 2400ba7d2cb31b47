"""Answers questions about the stored events over HTTP, read only: reports, contract, dashboard."""
