"""HTTP: invoking functions, CloudEvents, and the connector's own endpoints."""
