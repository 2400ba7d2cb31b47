"""The commands, one in each file; `infra/cli/main.py` puts them together."""
