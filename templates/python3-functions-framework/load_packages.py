"""Loads every installed package once, in the build of an image.

Python's images come without the bytecode of the standard library, and a function, which writes
nothing, would compile what it uses of it at each start: half a second. What is loaded here by a
user who may write is kept.
"""

import importlib
from contextlib import suppress
from importlib.metadata import packages_distributions

for name in packages_distributions():
    with suppress(Exception, SystemExit):  # one that cannot be loaded without being configured
        importlib.import_module(name)
