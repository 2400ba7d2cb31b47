"""Known signature schemes: one module each, found by itself.

A new scheme is a new module in this folder that defines `SCHEME`; its name, with dashes for
underscores, is the name of the scheme in the setting `WEBHOOKS`.
"""

import importlib
import pkgutil

from ..scheme import Scheme

SCHEMES: dict[str, Scheme] = {
    module.name.replace("_", "-"): importlib.import_module(f"{__name__}.{module.name}").SCHEME
    for module in pkgutil.iter_modules(__path__)
}
