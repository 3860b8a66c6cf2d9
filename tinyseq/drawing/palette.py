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
    "page": Ink("#16191d", "#b9c4cd", "#eef2f5"),
    "state": Ink("none", "#56b4e9", "#a9dbf7"),
    "delay": Ink("#16191d", "#56b4e9", "#a9dbf7"),
    "cut": Ink("#16191d", "#ff7f45", "#ffa37a"),
}
