"""Where the project's files are, in the repository and in an image."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds `functions/` and `sql/`: the repository, or `function/` in an image."""
