"""Prometheus, its alert rules, Grafana's dashboards, and the exporter of metrics for them."""
