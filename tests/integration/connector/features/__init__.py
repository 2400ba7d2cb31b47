"""What functions can ask for, and the NATS servers of all kinds that the connector works with."""
