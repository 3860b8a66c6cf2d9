"""Colours: Okabe and Ito's palette, which the colour-blind can tell apart, light and dark; pale fills, for print."""

from __future__ import annotations

from typing import Final, NamedTuple


class Ink(NamedTuple):
    """Fill, outline and text of a kind of box."""

    fill: str
    line: str
    text: str


LIGHT: Final[dict[str, Ink]] = {
    "op": Ink("#ffffff", "#5b6570", "#1b1f24"),
    "cell": Ink("#dcecf8", "#0072b2", "#0b2b40"),
    "group": Ink("#e9eef2", "#5b6570", "#1b1f24"),
    "input": Ink("#dff3ea", "#009e73", "#063d2d"),
    "constant": Ink("#f3f3f3", "#9aa3ab", "#3b4248"),
    "initial": Ink("#f3f3f3", "#9aa3ab", "#3b4248"),
    "fold": Ink("#ffffff", "#9aa3ab", "#5b6570"),
    "weight": Ink("#fdf1d8", "#b97a00", "#4a3200"),
    "frame": Ink("#f3f9fd", "#0072b2", "#0072b2"),
    "packed": Ink("none", "#8a4b9c", "#6d3a7c"),
    "new": Ink("#ffe9d6", "#d55e00", "#5c2900"),
    "rewired": Ink("#ffffff", "#d55e00", "#5c2900"),
    "none": Ink("#ffffff", "#9aa3ab", "#5b6570"),
    "instruction": Ink("#ffffff", "#c9d1d8", "#1b1f24"),
    "buffer": Ink("#e9eef2", "#5b6570", "#1b1f24"),
    "input-buffer": Ink("#dff3ea", "#009e73", "#063d2d"),
    "state-buffer": Ink("#dcecf8", "#0072b2", "#0b2b40"),
    "stack-buffer": Ink("#fdf1d8", "#b97a00", "#4a3200"),
    "page": Ink("#ffffff", "#3b4248", "#1b1f24"),
    "state": Ink("none", "#0072b2", "#00507d"),
    "delay": Ink("#ffffff", "#0072b2", "#00507d"),
    "cut": Ink("#ffffff", "#c83e00", "#a83400"),
}
DARK: Final[dict[str, Ink]] = {
    "op": Ink("#22272e", "#9aa7b3", "#eef2f5"),
    "cell": Ink("#123a56", "#56b4e9", "#e8f4fc"),
    "group": Ink("#2b323a", "#9aa7b3", "#eef2f5"),
    "input": Ink("#0d3a2c", "#2fc796", "#dcf7ec"),
    "constant": Ink("#2a2f35", "#7c8791", "#cfd6dc"),
    "initial": Ink("#2a2f35", "#7c8791", "#cfd6dc"),
    "fold": Ink("#16191d", "#7c8791", "#aeb8c1"),
    "weight": Ink("#3d2f0c", "#e69f00", "#fdeecb"),
    "frame": Ink("#10222f", "#56b4e9", "#8fcdf2"),
    "packed": Ink("none", "#c79bd6", "#dcbde6"),
    "new": Ink("#45270d", "#ff9a4d", "#ffe2c9"),
    "rewired": Ink("#22272e", "#ff9a4d", "#ffe2c9"),
    "none": Ink("#16191d", "#7c8791", "#aeb8c1"),
    "instruction": Ink("#1d2227", "#3a424a", "#eef2f5"),
    "buffer": Ink("#2b323a", "#9aa7b3", "#eef2f5"),
    "input-buffer": Ink("#0d3a2c", "#2fc796", "#dcf7ec"),
    "state-buffer": Ink("#123a56", "#56b4e9", "#e8f4fc"),
    "stack-buffer": Ink("#3d2f0c", "#e69f00", "#fdeecb"),
    "page": Ink("#16191d", "#b9c4cd", "#eef2f5"),
    "state": Ink("none", "#56b4e9", "#a9dbf7"),
    "delay": Ink("#16191d", "#56b4e9", "#a9dbf7"),
    "cut": Ink("#16191d", "#ff7f45", "#ffa37a"),
}

#: From a vanishing gradient to the largest: ColorBrewer's OrRd, which grows darker all the way, so that it reads in
#: grey and to the colour-blind.
_HEAT: Final = ("#fff4e0", "#fdd9a8", "#fdae75", "#ee6f4d", "#cf2f23", "#8f0000")


def heat(place: float) -> Ink:
    """Return the colours of a place on a scale from 0 to 1; the same in light and dark."""
    x = min(max(place, 0.0), 1.0) * (len(_HEAT) - 1)
    low = min(int(x), len(_HEAT) - 2)
    fill = _between(_HEAT[low], _HEAT[low + 1], x - low)
    return Ink(fill, "#5b1a10", "#ffffff" if place > 0.66 else "#2a0d08")


def heat_line(place: float) -> str:
    """Return the colour of a wire at a place on the scale: the pale end would not show on white."""
    return heat(0.3 + 0.7 * place).fill


def _between(a: str, b: str, share: float) -> str:
    pairs = ((int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in pairs)
