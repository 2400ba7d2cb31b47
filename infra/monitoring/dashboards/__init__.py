"""Grafana's dashboards: their definitions, and the program that writes them as JSON."""
