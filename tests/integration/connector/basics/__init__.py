"""What the connector does with messages, functions and dead letters."""
