"""Names of output files from a template: `out/{name}-{index:04d}.png`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from string import Formatter

from imagegen.errors import SettingsError, did_you_mean
from imagegen.images.reading import BadPictureError

FIELDS = ("name", "index", "width", "height", "seed", "model")
"""What a template can hold."""
TEXTS = ("name", "model")
"""Those that are no numbers."""


@dataclass(frozen=True)
class Template:
    """A checked template.

    Attributes:
        folder: what stands before the first field, up to the last slash.
        stem: the rest, without the suffix.
    """

    folder: str
    stem: str

    def fill(self, known: Mapping[str, object]) -> str:
        """Return the name of one picture below `folder`, without suffix.

        What pictures say of themselves may not lead out of the folder.

        Raises:
            BadPictureError: if the picture does not know what the template asks for.
        """
        safe = {
            key: re.sub(r"[^\w.-]", "_", str(value)) if key == "model" else value
            for key, value in known.items()
            if key in FIELDS and isinstance(value, str | int)
        }
        try:
            name = self.stem.format(**safe)
        except KeyError as error:
            raise BadPictureError(f"does not say its {error.args[0]}, which -o asks for") from None
        except ValueError as error:
            raise BadPictureError(f"does not fit what -o asks for: {error}") from None
        if ".." in PurePosixPath(name).parts:
            raise BadPictureError("its name leads out of the folder of -o")
        return name


def parse_template(output: str) -> Template:
    """Read what `-o` says.

    Raises:
        SettingsError: for an unknown field, a slip in the braces, or a suffix that is not .png.
    """
    try:
        for _, field, width, conversion in Formatter().parse(output):
            if field is not None:
                _check_field(output, field, width or "", conversion)
    except ValueError as error:
        raise SettingsError(
            f"-o {output}: not a template: {error}", "such as -o 'out/{name}-{index:04d}.png'"
        ) from None
    if not output.lower().endswith(".png"):
        raise SettingsError(f"-o {output}: pictures are written as PNG", "end the name with .png")
    fixed = output[: output.index("{")]
    folder, slash, _ = fixed.rpartition("/")
    start = len(folder) + len(slash)
    return Template(folder or ("/" if slash else "."), output[start:-4])


def _check_field(output: str, field: str, width: str, conversion: str | None) -> None:
    """Raise SettingsError for a field that there is not, ValueError for what can't be filled in."""
    if conversion or not field.isidentifier():
        raise ValueError(f"expected a field's name, got {{{field}{'!' if conversion else ''}...}}")
    if field not in FIELDS:
        raise SettingsError(
            f"-o {output}: unknown field '{field}'{did_you_mean(field, FIELDS)}",
            f"fields: {', '.join(FIELDS)}",
        )
    if re.search("[0-9]{4}", width):
        raise ValueError(f"{{{field}:{width}}} is too wide for a name")
    format("x" if field in TEXTS else 1, width)
