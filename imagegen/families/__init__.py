"""One file = one family. Importing this package files them all in `FAMILIES`."""

from importlib import import_module
from pkgutil import iter_modules

from imagegen.family import FAMILIES

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["FAMILIES"]
