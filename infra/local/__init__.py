"""The single-machine platform: OpenFaaS provider over processes, embedded NATS and PostgreSQL."""
