"""Decisions about messages: what is delivered when, and what a response means.

Nothing here does I/O; times and random numbers are arguments.
"""
