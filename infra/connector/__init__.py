"""The JetStream connector: at-least-once delivery of NATS messages to functions, in batches."""
