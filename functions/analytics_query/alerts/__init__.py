"""Alerts: figures that are watched, and summaries, which are sent to people.

analytics-query keeps the rules (`workspace/alerts.py`). `python -m` this package judges the figures
that are due and sends what there is to say; a job or the local platform runs it. So the function
that the world reaches sends nothing, and holds no password of a mail server.
"""
