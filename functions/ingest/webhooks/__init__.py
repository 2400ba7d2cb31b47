"""Webhooks of other platforms: `/webhook/<name>`, each with a signature scheme and secrets.

`scheme` says how a sender signs and checks it; `schemes/` has one small file for each known sender;
`webhook` is one path; `configuration` finds out which paths there are.
"""
