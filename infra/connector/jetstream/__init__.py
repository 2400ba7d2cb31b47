"""JetStream: a durable consumer, pull requests, messages in flight, and the loop over them."""
