"""A catalog: the named parts that the code can do (families, operations)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from imagegen.errors import SettingsError, did_you_mean

T = TypeVar("T")


class Catalog(dict[str, T], Generic[T]):
    """Parts by name. A name that is not there is a clear error, a name used twice a bug."""

    def __init__(self, kind: str, see: str) -> None:
        super().__init__()
        self.kind = kind
        self.see = see

    def register(self, name: str) -> Callable[[T], T]:
        """Decorate a part to file it under `name`."""

        def file(part: T) -> T:
            assert name not in self, f"two {self.kind}s are named {name}"
            self[name] = part
            return part

        return file

    def __missing__(self, name: str) -> T:
        raise SettingsError(f"unknown {self.kind} '{name}'{did_you_mean(name, self)}", self.see)
