"""The single-machine platform: OpenFaaS' API over processes, embedded NATS and PostgreSQL."""
