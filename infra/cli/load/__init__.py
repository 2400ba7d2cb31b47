"""Load for tests and demos: generated events, and what sends them."""
