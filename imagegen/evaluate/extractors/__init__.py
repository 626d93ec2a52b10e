"""One file = one feature network. Importing this package registers them all in `EXTRACTORS`."""

from importlib import import_module
from pkgutil import iter_modules

from imagegen.evaluate.extractor import EXTRACTORS

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["EXTRACTORS"]
