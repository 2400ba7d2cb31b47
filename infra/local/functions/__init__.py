"""Deployed functions: their code, their replicas, and when these scale."""
