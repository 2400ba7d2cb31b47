"""A service for the same events, written the usual way: what `bench e2e` compares with.

An HTTP handler publishes each event with an acknowledgement of its own, a worker pulls them and
inserts rows. Both are one asyncio process on uvloop, tuned as one would: compiled HTTP parser and
JSON, compiled validation, prepared multi-row INSERTs on several connections at a time.
"""
