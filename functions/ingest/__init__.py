"""Webhooks in: checks events and hands them to JetStream, durably, before it answers."""

from .quick_nats import import_nats

import_nats()
