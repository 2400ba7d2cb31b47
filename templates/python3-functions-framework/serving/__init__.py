"""How the template serves a function: what index.py is made of."""
