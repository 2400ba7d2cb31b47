"""Webhooks in: checks events and hands them to JetStream, durably, before it answers."""
