"""Read the pictures of a WAD file, the archive of Freedoom."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# What the first four letters of a sprite's name stand for.
SPRITES = {
    "TROO": "imp monster", "POSS": "zombie soldier", "SPOS": "zombie with shotgun",
    "SARG": "demon", "HEAD": "floating monster", "BOSS": "hell baron", "BOS2": "hell knight",
    "SKUL": "flying skull", "CYBR": "giant cyborg", "SPID": "giant spider", "BSPI": "spider robot",
    "PAIN": "pain elemental", "SKEL": "skeleton monster", "FATT": "fat monster",
    "VILE": "arch monster", "CPOS": "gunner zombie", "SSWV": "soldier", "PLAY": "space marine",
    "KEEN": "hanging figure", "BAL1": "fireball", "BAL2": "plasma ball", "BAL7": "green fireball",
    "PLSS": "plasma shot", "PLSE": "plasma burst", "MISL": "rocket", "BFS1": "energy ball",
    "BFE1": "energy burst", "FIRE": "fire", "PUFF": "puff of smoke", "BLUD": "blood splash",
    "TFOG": "teleport fog", "IFOG": "item fog", "BAR1": "barrel", "BEXP": "exploding barrel",
    "CLIP": "ammunition clip", "AMMO": "ammunition box", "SHEL": "shotgun shells",
    "SBOX": "box of shells", "ROCK": "rocket", "BROK": "box of rockets", "CELL": "energy cell",
    "CELP": "energy pack", "STIM": "small medical kit", "MEDI": "medical kit", "BON1": "potion",
    "BON2": "armour bonus", "ARM1": "green armour", "ARM2": "blue armour", "SOUL": "soul sphere",
    "MEGA": "mega sphere", "PINV": "invulnerability sphere", "PSTR": "berserk pack",
    "PINS": "invisibility sphere", "SUIT": "protective suit", "PMAP": "computer map",
    "PVIS": "light visor", "BKEY": "blue key card", "RKEY": "red key card",
    "YKEY": "yellow key card", "BSKU": "blue skull key", "RSKU": "red skull key",
    "YSKU": "yellow skull key", "SHOT": "shotgun", "MGUN": "chain gun", "LAUN": "rocket launcher",
    "PLAS": "plasma rifle", "BFUG": "big gun", "CSAW": "chain saw", "SGN2": "double shotgun",
    "BPAK": "backpack", "COLU": "lamp", "CAND": "candle", "CBRA": "candelabra",
    "TBLU": "blue torch", "TGRN": "green torch", "TRED": "red torch", "SMBT": "blue torch",
    "SMGT": "green torch", "SMRT": "red torch", "TLMP": "tall lamp", "TLP2": "short lamp",
    "TRE1": "dead tree", "TRE2": "big tree", "ELEC": "tall pillar", "COL1": "green pillar",
    "COL2": "short green pillar", "COL3": "red pillar", "COL4": "short red pillar",
    "COL5": "pillar with heart", "COL6": "pillar with skull", "POL1": "impaled figure",
    "POL2": "skulls on a pole", "POL3": "pile of skulls", "POL4": "skull on a pole",
    "POL5": "remains", "POL6": "impaled figure", "GOR1": "hanging victim", "CEYE": "evil eye",
    "FSKU": "floating skulls", "SMIT": "stalagmite", "FCAN": "burning barrel",
    "PUNG": "fist", "PISG": "hand with pistol", "SHTG": "hands with shotgun",
    "CHGG": "hands with chain gun", "MISG": "hands with rocket launcher",
    "PLSG": "hands with plasma rifle", "BFGG": "hands with big gun", "SAWG": "hands with chain saw",
    "SHT2": "hands with double shotgun", "BRS1": "remains", "SGN1": "shotgun",
}  # fmt: skip


@dataclass(frozen=True)
class Lump:
    """A picture of a WAD file.

    Attributes:
        kind: "sprite", "flat" (of floors) or "patch" (of walls).
        name: of the lump.
        pixels: 8-bit RGBA.
    """

    kind: str
    name: str
    pixels: NDArray[np.uint8]


def read(path: Path) -> Iterator[Lump]:
    """Yield sprites, flats and patches."""
    data = path.read_bytes()
    count, start = struct.unpack_from("<ii", data, 4)
    lumps = []
    for number in range(count):
        offset, size, name = struct.unpack_from("<ii8s", data, start + 16 * number)
        lumps.append((name.rstrip(b"\0").decode("ascii", "replace"), data[offset : offset + size]))
    palette = next(body for name, body in lumps if name == "PLAYPAL")[:768]
    colours = np.frombuffer(palette, np.uint8).reshape(256, 3)
    kind = ""
    for name, body in lumps:
        if name in ("S_START", "F_START", "P_START"):
            kind = {"S": "sprite", "F": "flat", "P": "patch"}[name[0]]
        elif name in ("S_END", "F_END", "P_END"):
            kind = ""
        elif kind == "flat" and len(body) == 64 * 64:
            flat = colours[np.frombuffer(body, np.uint8).reshape(64, 64)]
            yield Lump(kind, name, np.dstack([flat, np.full((64, 64), 255, np.uint8)]))
        elif kind in ("sprite", "patch") and len(body) > 8:
            yield Lump(kind, name, _picture(body, colours))


def _picture(body: bytes, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Decode Doom's picture format: columns of posts."""
    width, height = struct.unpack_from("<HH", body)
    pixels = np.zeros((height, width, 4), np.uint8)
    for x, at in enumerate(struct.unpack_from(f"<{width}I", body, 8)):
        while body[at] != 255:
            top, length = body[at], body[at + 1]
            post = np.frombuffer(body, np.uint8, length, at + 3)[: max(height - top, 0)]
            pixels[top : top + len(post), x, :3] = colours[post]
            pixels[top : top + len(post), x, 3] = 255
            at += length + 4
    return pixels
