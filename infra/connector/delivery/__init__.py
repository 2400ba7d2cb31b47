"""Decisions about messages: what is delivered when, and what a response means. No I/O."""
