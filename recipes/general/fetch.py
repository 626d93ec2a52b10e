"""Download the packages by their registries' ordinary clients, and unpack them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from recipes.general.sources import Package

BATCH = 40
"""npm packages that are asked for at once."""


class Packages:
    """A folder of downloaded packages.

    Attributes:
        folder: holds `npm/` and `debian/` with the archives, and `unpacked/`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, packages: list[Package]) -> None:
        """Download what is not there yet.

        Raises:
            subprocess.CalledProcessError: if a client fails.
        """
        missing = [one for one in packages if not self._archive(one).exists()]
        for registry in ("npm", "debian"):
            (self.folder / registry).mkdir(parents=True, exist_ok=True)
        names = [f"{one.name}@{one.version}" for one in missing if one.registry == "npm"]
        for start in range(0, len(names), BATCH):
            self._run("npm", "pack", "--silent", *names[start : start + BATCH], registry="npm")
        for one in missing:
            if one.registry == "debian":
                self._run("apt-get", "download", f"{one.name}={one.version}", registry="debian")

    def unpacked(self, package: Package) -> Path:
        """Return the folder of a package's files, unpacking it the first time."""
        archive = self._archive(package)
        folder = self.folder / "unpacked" / archive.name.rpartition(".")[0]
        if not folder.exists():
            partial = folder.with_suffix(".part")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            if package.registry == "debian":
                subprocess.run(["dpkg-deb", "-x", archive, partial], check=True)
            else:
                shutil.unpack_archive(archive, partial, "gztar", filter="data")
            partial.rename(folder)
        return folder if package.registry == "debian" else folder / "package"

    def _archive(self, package: Package) -> Path:
        if package.registry == "debian":
            version = package.version.replace(":", "%3a")
            return self.folder / "debian" / f"{package.name}_{version}_all.deb"
        name = package.name.removeprefix("@").replace("/", "-")
        return self.folder / "npm" / f"{name}-{package.version}.tgz"

    def _run(self, *command: str, registry: str) -> None:
        subprocess.run(command, cwd=self.folder / registry, check=True, stdout=subprocess.DEVNULL)
