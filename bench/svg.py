"""Line charts as SVG: scales, ticks, panels side by side. Knows nothing of what is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

#: Of one panel's plot, and around it, in px.
WIDTH, HEIGHT = 330, 260
LEFT, RIGHT, TOP, BOTTOM = 70, 26, 88, 56
#: The legend: in columns, so wide, and its lines, so far apart.
COLUMNS: Final = 3
COLUMN, LINE = 240, 22
#: More decades than this, and only whole ones are written at an axis.
CROWDED: Final = 3


class Scale:
    """Places values between 0 and 1 along an axis."""

    def place(self, value: float) -> float:
        """Where *value* is."""
        raise NotImplementedError

    def ticks(self) -> list[tuple[float, str]]:
        """Values to write, with their text."""
        raise NotImplementedError


@dataclass(frozen=True)
class Log(Scale):
    """Equal ratios are equally far apart."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float]) -> Log:
        """From and to 1, 2 or 5 times a power of ten. Raises `ValueError` for none above 0."""
        positive = [value for value in values if value > 0]
        if not positive:
            raise ValueError("a logarithmic scale needs a value above 0")
        steps = _steps(min(positive), max(positive))
        low = max((step for step in steps if step <= min(positive)), default=steps[0])
        high = min((step for step in steps if step >= max(positive)), default=steps[-1])
        return cls(low, high if high > low else low * 10)

    def place(self, value: float) -> float:
        """Where *value* is; what is not above 0 is at the lower end."""
        if value <= 0:
            return 0.0
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """1, 2 and 5 times the powers of ten; over many decades the powers alone."""
        inside = [step for step in _steps(self.low, self.high) if self.low <= step <= self.high]
        if math.log10(self.high / self.low) > CROWDED:
            inside = [step for step in inside if math.log10(step) % 1 < 1e-9]
        return [(step, f"{step:,.10g}") for step in inside]


@dataclass(frozen=True)
class Tail(Scale):
    """Shares of 1, by how little is left: 90, 99 and 99.9 % are equally far apart."""

    high: float = 0.999

    def place(self, value: float) -> float:
        """Where the share *value* is."""
        return math.log10(1 - value) / math.log10(1 - self.high)

    def ticks(self) -> list[tuple[float, str]]:
        """The percentiles that people name."""
        shares = [0, 0.5, 0.9, 0.99, 0.999, 0.9999]
        return [(share, f"{share * 100:.10g}") for share in shares if share <= self.high]


def _steps(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]


@dataclass(frozen=True)
class Line:
    """One line of a panel, and how it is told from the others without colours."""

    label: str
    colour: str
    dashes: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True)
class Panel:
    """One chart."""

    title: str
    x_label: str
    y_label: str
    x: Scale
    y: Scale
    lines: Sequence[Line]


def draw(title: str, panels: Sequence[Panel]) -> str:
    """The panels side by side, with one legend for all."""
    wide = LEFT + WIDTH + RIGHT
    whole, tall = wide * len(panels), TOP + HEIGHT + BOTTOM
    parts = [
        f'<svg viewBox="0 0 {whole} {tall}" xmlns="http://www.w3.org/2000/svg" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{whole}" height="{tall}" fill="#fff"/>',
        *_legend(panels),
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({number * wide + LEFT},{TOP})">', *_panel(panel)]
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(panels: Sequence[Panel]) -> list[str]:
    lines = {line.label: line for panel in panels for line in panel.lines}
    parts = []
    for number, line in enumerate(lines.values()):
        x, y = LEFT + number % COLUMNS * COLUMN, (number // COLUMNS + 1) * LINE
        parts.append(f'<path d="M{x} {y}h26" {_stroke(line)}/>')
        parts.append(_text(x + 32, y + 4, line.label))
    return parts


def _panel(panel: Panel) -> list[str]:
    parts = [_text(0, -12, panel.title, 'font-weight="bold"')]
    for value, text in panel.x.ticks():
        x = _number(panel.x.place(value) * WIDTH)
        parts.append(f'<path d="M{x} 0V{HEIGHT}" stroke="#ddd"/>')
        parts.append(_text(x, HEIGHT + 18, text, 'text-anchor="middle"'))
    for value, text in panel.y.ticks():
        y = _number(HEIGHT - panel.y.place(value) * HEIGHT)
        parts.append(f'<path d="M0 {y}H{WIDTH}" stroke="#ddd"/>')
        parts.append(_text(-6, float(y) + 4, text, 'text-anchor="end"'))
    parts.append(f'<path d="M0 0V{HEIGHT}H{WIDTH}" fill="none" stroke="#222"/>')
    parts.append(_text(WIDTH / 2, HEIGHT + 42, panel.x_label, 'text-anchor="middle"'))
    turned = f'text-anchor="middle" transform="rotate(-90 -54 {HEIGHT / 2:g})"'
    parts.append(_text(-54, HEIGHT / 2, panel.y_label, turned))
    for line in panel.lines:
        parts += _line(panel, line)
    return parts


def _line(panel: Panel, line: Line) -> list[str]:
    places = [
        (_number(panel.x.place(x) * WIDTH), _number(HEIGHT - panel.y.place(y) * HEIGHT))
        for x, y in line.points
    ]
    path = "L".join(f"{x} {y}" for x, y in places)
    parts = [f'<path d="M{path}" {_stroke(line)}><title>{escape(line.label)}</title></path>']
    if line.dots:
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{line.colour}"/>' for x, y in places]
    return parts


def _stroke(line: Line) -> str:
    dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
    return f'fill="none" stroke="{line.colour}" stroke-width="2"{dashes}'


def _text(x: float | str, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y:g}" {more}>{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:.1f}"
