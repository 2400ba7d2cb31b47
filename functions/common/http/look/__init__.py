"""What all pages look like: colours in light and dark, typeface, header, icon."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent

FILES = {name: _FOLDER / name for name in ("look.css", "theme.js", "icon.svg")}
"""The paths of the files that every page loads, by their names."""
