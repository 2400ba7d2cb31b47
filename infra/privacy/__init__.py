"""Whose data it is: erasing a person, and exporting what is stored of one. docs/privacy.md."""
