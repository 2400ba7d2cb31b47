"""The reference of ingest: OpenAPI, Swagger UI, and JSON Schemas of events.

All of it is generated from the event contract and the settings when it is first asked for: a start
that serves events takes no longer because of it.
"""
