"""Definitions of the Grafana dashboards, and the program that writes them as JSON.

Development only: they are built with `grafana-foundation-sdk`, of the extra `dev`. What runs (the
exporter, Grafana itself) needs the JSON alone.
"""
