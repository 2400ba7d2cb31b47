"""The whole platform under load: a generator, processor time by part, and what is measured."""
