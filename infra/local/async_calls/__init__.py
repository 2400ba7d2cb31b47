"""Asynchronous calls (`/async-function/*`): stored in JetStream, and made by the gateway later."""
