"""JetStream: the durable consumer, pulling from it, and its in-flight messages."""
