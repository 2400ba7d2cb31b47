"""What the functions share: event contract, settings, broker, metrics, logs, health."""
