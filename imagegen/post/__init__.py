"""Post-processing: one function = one operation.

Every module of this folder is imported here, so that a file that defines an operation needs no
other edit. None of them imports torch, OpenCV or scikit-image before a picture needs it.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
