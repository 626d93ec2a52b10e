"""HTML pages that hold all they show: they ask nobody for anything, and open without a network."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from imagegen import __version__
from imagegen.evaluate import facts


def render(template: str, **values: Any) -> str:
    """Fill in one of the templates beside this file, in `pages`.

    The same values give the same page. Templates have filters for what is measured: `num`,
    `percent`, `duration`, and `png` for the bytes of a PNG file.
    """
    environment = Environment(
        loader=PackageLoader("imagegen.evaluate", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        num=facts.number, percent=facts.percent, png=_data_uri, duration=facts.duration
    )
    return environment.get_template(template).render(version=__version__, **values)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
