"""Answers questions about the stored events over HTTP: reports, contract, dashboard.

Events are only read; what is written is what a team keeps beside them (`workspace/`).
"""
