"""Grading: the colour of the light, the strength and hue of colours, tones of two colours."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.color import from_linear, rgb, to_linear, transform
from imagegen.post.oklab import from_oklab, to_oklab
from imagegen.post.operations import are_colors, operation

# Linear sRGB to CIE XYZ (IEC 61966-2-1), and XYZ to the cone responses of Bradford (Lam 1985).
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_DAYLIGHT = 6504.0

# How the dichromat sees, in linear sRGB: Machado, Oliveira and Fernandes 2009, severity 1.
_BLIND = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "achromatopsia": [[0.2126, 0.7152, 0.0722]] * 3,
}

# The tone of old prints, on sRGB values, as the web knows it (W3C Filter Effects, sepia).
_SEPIA = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]]


@operation("color", "temperature:kelvin=4500,tint=5")
def temperature(
    color: Floats,
    *,
    kelvin: Annotated[float, Field(ge=1700, le=25000)] = 5000.0,
    tint: Annotated[float, Field(ge=-100, le=100)] = 0.0,
) -> Floats:
    """Make warmer or colder, as if lit by light of another colour temperature.

    Adapts from daylight of 6504 K to the light wanted, by Bradford's transform in linear light;
    the luminance of grey stays. The light is that of CIE daylight (D series) from 5000 K up, that
    of a glowing body (Planck's locus, after Krystek 1985) up to 4000 K, and mixed in between. Grey
    pictures become coloured.

    Args:
        kelvin: The light: 1900 is a candle, 2850 a bulb, 6504 changes nothing, 8000 is shade.
        tint: Towards magenta, or, if negative, green: thousandths of distance from the locus in
            CIE 1960 uv, halved.
    """
    before = _BRADFORD @ _white(_DAYLIGHT, 0.0)
    after = _BRADFORD @ _white(kelvin, tint / 2000)
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(after / before) @ _BRADFORD
    return from_linear(transform(to_linear(color), np.linalg.inv(_TO_XYZ) @ adapt @ _TO_XYZ))


def _white(kelvin: float, off: float) -> Any:
    """Return the XYZ, with Y = 1, of a light so far off the locus towards magenta, in uv."""
    u, v = _chromaticity(kelvin)
    along = np.subtract(_chromaticity(kelvin * 1.001), _chromaticity(kelvin / 1.001))
    # The locus falls as light gets hotter; what is to the left of that way has less green.
    across = np.array([-along[1], along[0]]) / np.hypot(*along)
    u, v = np.array([u, v]) + off * across
    # u = 4x / (12y - 2x + 3), v = 6y / (12y - 2x + 3)
    x, y = np.array([3 * u, 2 * v]) / (2 * u - 8 * v + 4)
    return np.array([x / y, 1, (1 - x - y) / y])


def _chromaticity(kelvin: float) -> tuple[float, float]:
    """Return where a light of this temperature lies, in CIE 1960 uv."""
    t = kelvin
    glow = np.array(
        [
            (0.860117757 + 1.54118254e-4 * t + 1.28641212e-7 * t**2)
            / (1 + 8.42420235e-4 * t + 7.08145163e-7 * t**2),
            (0.317398726 + 4.22806245e-5 * t + 4.20481691e-8 * t**2)
            / (1 - 2.89741816e-5 * t + 1.61456053e-7 * t**2),
        ]
    )
    t = max(t, 4000)
    if t <= 7000:
        x = -4.6070e9 / t**3 + 2.9678e6 / t**2 + 0.09911e3 / t + 0.244063
    else:
        x = -2.0064e9 / t**3 + 1.9018e6 / t**2 + 0.24748e3 / t + 0.237040
    y = -3 * x**2 + 2.87 * x - 0.275
    day = np.array([4 * x, 6 * y]) / (12 * y - 2 * x + 3)
    share = np.clip((kelvin - 4000) / 1000, 0, 1)
    u, v = (1 - share) * glow + share * day
    return float(u), float(v)


@operation("color", "vibrance:amount=0.7")
def vibrance(color: Floats, *, amount: Annotated[float, Field(ge=-1, le=2)] = 0.5) -> Floats:
    """Make pale colours stronger, and leave strong ones alone.

    Scales the chroma of Oklch: the paler, the more; from a chroma of 0.3 up nothing changes.
    Lightness and hue stay. Grey pictures stay as they are.

    Args:
        amount: How much palest colours gain: 1 doubles them, -1 takes them away.
    """
    if color.shape[2] == 1:
        return color
    lab = to_oklab(color)
    chroma = np.hypot(lab[..., 1], lab[..., 2])[..., None]
    pale = (1 - chroma / np.float32(0.3)).clip(0, 1)
    lab[..., 1:] *= 1 + np.float32(amount) * pale**2
    return from_oklab(lab)


@operation("color", "hue:degrees=120")
def hue(color: Floats, *, degrees: Annotated[float, Field(ge=-360, le=360)] = 30.0) -> Floats:
    """Turn all hues.

    Turns the hue of Oklch, and keeps lightness and, where sRGB allows, chroma. Grey pictures stay
    as they are.

    Args:
        degrees: 120 turns red towards green, green towards blue and blue towards red.
    """
    if color.shape[2] == 1:
        return color
    lab = to_oklab(color)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return from_oklab(transform(lab, [[1, 0, 0], [0, c, -s], [0, s, c]]))


def hex_color(text: str) -> tuple[float, float, float]:
    """Read #RRGGBB as sRGB in [0, 1]; raises ValueError."""
    if not re.fullmatch("#?[0-9a-fA-F]{6}", text):
        raise ValueError(f"expected a colour as #RRGGBB, got {text!r}")
    red, green, blue = bytes.fromhex(text[-6:])
    return red / 255, green / 255, blue / 255


@operation(
    "color",
    "split-toning:shadows=#1f4e5f,highlights=#f2b36b",
    check=are_colors("shadows", "highlights", read=hex_color),
)
def split_toning(
    color: Floats,
    *,
    shadows: str = "#1f4e5f",
    highlights: str = "#f2b36b",
    amount: Annotated[float, Field(ge=0, le=2)] = 0.5,
    balance: Annotated[float, Field(ge=0, le=255)] = 127.5,
) -> Floats:
    """Tone the shadows with one colour and the highlights with another.

    Adds the a and b of the colours in Oklab, so that lightness stays; black and white stay too.
    Grey pictures become coloured.

    Args:
        shadows: Colour of the shadows, as #RRGGBB.
        highlights: Colour of the highlights, as #RRGGBB.
        amount: How much of the colours to add; 1 is all of it.
        balance: The grey level, of 255, that takes half of both.
    """
    lab = to_oklab(color)
    tones = np.array([[hex_color(shadows), hex_color(highlights)]], np.float32)
    dark, bright = to_oklab(tones)[0, :, 1:]
    middle = to_oklab(np.full((1, 1, 1), balance / 255, np.float32))[0, 0, 0]
    light = lab[..., :1]
    share = ((light - middle) * 2 + np.float32(0.5)).clip(0, 1)
    share = share**2 * (3 - 2 * share)
    # Black and white can hold no colour; near them it fades, so that it comes without an edge.
    room = np.minimum(1, 4 * np.minimum(light, 1 - light)).clip(0, 1)
    lab[..., 1:] += np.float32(amount) * room * (dark + share * (bright - dark))
    return from_oklab(lab)


@operation("color", "sepia")
def sepia(color: Floats) -> Floats:
    """Tone brown, as old prints are.

    The matrix that web browsers use, on sRGB values (W3C Filter Effects). Grey pictures become
    coloured.
    """
    return transform(color, _SEPIA)


@operation("color", "color-blindness:type=deuteranopia,severity=0.6")
def color_blindness(
    color: Floats,
    *,
    type: Literal["protanopia", "deuteranopia", "tritanopia", "achromatopsia"] = "deuteranopia",
    severity: Annotated[float, Field(ge=0, le=1)] = 1.0,
) -> Floats:
    """Show how people see who lack, or have a weak, kind of cone.

    Matrices of Machado, Oliveira and Fernandes 2009, in linear light. Grey stays.

    Args:
        type: What is lacking: red cones (protanopia), green ones (deuteranopia), blue ones
            (tritanopia), or all (achromatopsia).
        severity: 1 lacks the cone, less is a weak one, in proportion (the authors compute each
            severity by itself; this is near to it).
    """
    if color.shape[2] == 1:
        return color
    matrix = np.eye(3) + severity * (np.array(_BLIND[type]) - np.eye(3))
    return from_linear(transform(to_linear(rgb(color)), matrix))
