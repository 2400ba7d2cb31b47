"""Prometheus, its alert rules, Grafana's dashboards, and the exporter of figures for them."""
