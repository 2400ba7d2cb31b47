"""The embedded servers: NATS and PostgreSQL."""
