"""The exporter: PostgreSQL and JetStream, asked from outside, as Prometheus metrics."""
