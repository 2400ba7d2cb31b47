"""Commands of the connector, its help and the page of its settings."""
