"""The single-machine platform: an OpenFaaS provider over processes, embedded NATS and PostgreSQL."""
