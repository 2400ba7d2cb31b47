"""The exporter: serves metrics of PostgreSQL and JetStream, for Prometheus."""
