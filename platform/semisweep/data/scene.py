"""One picture of the embedded data set: cluttered background, textured objects, and its mask.

A class is a pair of shape and texture. Every shape and every texture belongs to two classes or
more, shapes have equal areas, and colours are drawn without regard to the class; so neither
shape, texture, size nor colour alone tells the class. The lengths below are pixels of a 64-pixel
picture and grow with it; borders in the mask are one pixel wide at any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from semisweep.core.seeding import numbers
from semisweep.data.reading import IGNORE, Pixels

Array = npt.NDArray[np.float64]
Range = tuple[float, float]

# Classes 1, 2, ...: (shape, texture), the commonest first; each is rarer than the one before it by
# the same factor.
KINDS = (
    ("disc", "striped"),
    ("bar", "striped"),
    ("bar", "checkered"),
    ("disc", "checkered"),
    ("disc", "dotted"),
    ("bar", "dotted"),
)
TAIL = 9.0  # the commonest class is drawn this many times as often as the rarest

# Difficulty. Calibrated by supervised training alone, then frozen: a change needs a new
# GENERATOR_VERSION in shapes.py.
OBJECTS = (4, 6)
RADIUS: Range = (9.5, 13.0)  # of the disc of equal area
BAR_LENGTH = 4.0  # in widths
STRETCH: Range = (0.92, 1.08)
SEPARATION = 0.75  # of the sum of two radii; below 1 objects overlap
PLACEMENTS = 6  # tries to keep that distance before any place will do
PERIODS: dict[str, Range] = {
    "striped": (5.0, 6.5),
    "checkered": (6.0, 7.0),
    "dotted": (6.0, 7.0),
}
TEXTURE_CONTRAST: Range = (0.5, 0.85)  # between the two tones of an object
TEXTURE_SHARPNESS = 1.2
CHROMA = 0.18  # random colour difference between the tones
OCCLUDERS = (0, 1)
OCCLUDER_WIDTH: Range = (1.6, 3.2)
NOISE_AMPLITUDES = {2: 0.22, 4: 0.16, 8: 0.10, 16: 0.06, 32: 0.04}  # by cells across the picture
BLOBS = (1, 3)
EDGES = (1, 3)
EDGE_CONTRAST: Range = (0.04, 0.14)
TEXTURED_CLUTTER = 0.15  # chance of an irregular patch in one of the objects' textures
LIGHT = 0.25  # brightness differs by up to this share from the middle to the rim
GAIN: Range = (0.8, 1.05)
OFFSET = 0.06
SENSOR_NOISE: Range = (0.01, 0.03)


@dataclass(frozen=True)
class Thing:
    """Where an object stands and how it looks; lengths in pixels, angles in radians."""

    kind: int  # index into KINDS
    centre: tuple[float, float]
    radius: float
    angle: float
    stretch: float


def render(seed: int, index: int, size: int = 64) -> tuple[Pixels, Pixels]:
    """Return picture [size, size, 3] and mask [size, size] number `index` of a data set."""
    generator = numbers("shapes", seed, index)
    unit = size / 64
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    picture = _background(generator, rows, columns, unit)
    mask = np.zeros((size, size), dtype=np.uint8)
    for thing in _place(generator, size, unit):
        distance = silhouette(thing, rows, columns)
        texture = KINDS[thing.kind][1]
        colours = _textured(
            texture, generator, rows - thing.centre[0], columns - thing.centre[1], unit
        )
        _paint(picture, colours, distance)
        mask[distance <= 1] = IGNORE
        mask[distance <= 0] = thing.kind + 1
    for _ in range(_count(generator, OCCLUDERS)):
        _occlude(picture, mask, generator, rows, columns, unit)
    return _photograph(picture, generator, rows, columns), mask


def silhouette(thing: Thing, rows: Array, columns: Array) -> Array:
    """Return how far each pixel is outside the object (inside: below 0); never overstated.

    The texture has no part in it. Discs and bars of one radius have one area.
    """
    down, right = rows - thing.centre[0], columns - thing.centre[1]
    along = (right * math.cos(thing.angle) + down * math.sin(thing.angle)) * thing.stretch
    across = (down * math.cos(thing.angle) - right * math.sin(thing.angle)) / thing.stretch
    shape = KINDS[thing.kind][0]
    if shape == "disc":
        distance = np.hypot(along, across) - thing.radius
    else:
        half_width = math.sqrt(math.pi / BAR_LENGTH) / 2 * thing.radius
        half_length = BAR_LENGTH * half_width
        distance = np.maximum(np.abs(along) - half_length, np.abs(across) - half_width)
    # Stretching makes distances grow faster than pixels do: the ring around must not get thinner.
    scaled: Array = distance / max(thing.stretch, 1 / thing.stretch)
    return scaled


def _place(generator: np.random.Generator, size: int, unit: float) -> list[Thing]:
    weights = TAIL ** -(np.arange(len(KINDS)) / (len(KINDS) - 1))
    things: list[Thing] = []
    for _ in range(_count(generator, OBJECTS)):
        kind = int(generator.choice(len(KINDS), p=weights / weights.sum()))
        radius = generator.uniform(*RADIUS) * unit
        angle = generator.uniform(0, 2 * math.pi)
        stretch = generator.uniform(*STRETCH)
        places = generator.uniform(radius / 2, size - radius / 2, (PLACEMENTS, 2))
        free = [place for place in places if _is_free(place, radius, things)]
        row, column = free[0] if free else places[-1]
        things.append(Thing(kind, (float(row), float(column)), radius, angle, stretch))
    return things


def _is_free(place: Array, radius: float, things: list[Thing]) -> bool:
    return all(
        math.dist(place, other.centre) >= SEPARATION * (radius + other.radius) for other in things
    )


def _textured(
    texture: str, generator: np.random.Generator, down: Array, right: Array, unit: float
) -> Array:
    """Return colours [size, size, 3] of a texture in two random tones, phase and direction."""
    angle, *phases = generator.uniform(0, 2 * math.pi, 3)
    rate = 2 * math.pi / (generator.uniform(*PERIODS[texture]) * unit)
    first = (right * math.cos(angle) + down * math.sin(angle)) * rate + phases[0]
    second = (down * math.cos(angle) - right * math.sin(angle)) * rate + phases[1]
    if texture == "striped":
        wave = np.sin(first)
    elif texture == "checkered":
        wave = 1.5 * np.sin(first) * np.sin(second)
    else:
        wave = np.cos(first) + np.cos(second) - 0.8
    tone = np.clip(0.5 + TEXTURE_SHARPNESS * wave, 0, 1)[..., None]
    contrast = generator.uniform(*TEXTURE_CONTRAST) * generator.choice((-1.0, 1.0))
    room = abs(contrast) / 2
    middle = generator.uniform(room, 1 - room, 3)
    difference = contrast + generator.uniform(-CHROMA, CHROMA, 3)
    colours: Array = middle + difference * (tone - 0.5)
    return colours


def _background(generator: np.random.Generator, rows: Array, columns: Array, unit: float) -> Array:
    size = len(rows)
    picture = generator.uniform(0.2, 0.8, 3) + np.zeros((size, size, 3))
    for cells, amplitude in NOISE_AMPLITUDES.items():
        grey = _field(generator, size, cells)
        tint = np.stack([_field(generator, size, cells) for _ in range(3)], axis=-1)
        picture += amplitude * (grey[..., None] + 0.5 * tint)
    for _ in range(_count(generator, EDGES)):
        distance = _line(generator, rows, columns)
        shade = generator.uniform(*EDGE_CONTRAST) * generator.choice((-1.0, 1.0), 3)
        picture += shade * np.clip(0.5 + distance / unit, 0, 1)[..., None]
    for _ in range(_count(generator, BLOBS)):
        _blob(picture, generator, rows, columns, unit)
    if generator.random() < TEXTURED_CLUTTER:
        _clutter(picture, generator, rows, columns, unit)
    return picture


def _blob(
    picture: Array, generator: np.random.Generator, rows: Array, columns: Array, unit: float
) -> None:
    """Paint a plain ellipse, in place: a shape without a texture."""
    row, column = generator.uniform(0, len(rows), 2)
    first, second = generator.uniform(3, 14, 2) * unit
    angle = generator.uniform(0, math.pi)
    along = (columns - column) * math.cos(angle) + (rows - row) * math.sin(angle)
    across = (rows - row) * math.cos(angle) - (columns - column) * math.sin(angle)
    distance = (np.hypot(along / first, across / second) - 1) * min(first, second)
    softness = generator.uniform(1, 4)
    _paint(picture, generator.uniform(0.05, 0.95, 3), distance / softness)


def _clutter(
    picture: Array, generator: np.random.Generator, rows: Array, columns: Array, unit: float
) -> None:
    """Paint an irregular textured patch, in place: a texture without a shape."""
    texture = str(generator.choice(tuple(PERIODS)))
    colours = _textured(texture, generator, rows, columns, unit)
    field = _field(generator, len(rows), 4)
    _paint(picture, colours, (0.55 - field) * 16 * unit)


def _occlude(
    picture: Array,
    mask: Pixels,
    generator: np.random.Generator,
    rows: Array,
    columns: Array,
    unit: float,
) -> None:
    """Paint a thin line across the picture, in place; it belongs to the background."""
    width = generator.uniform(*OCCLUDER_WIDTH) * unit
    distance = np.abs(_line(generator, rows, columns)) - width / 2
    _paint(picture, generator.uniform(0.05, 0.95, 3), distance)
    mask[(distance <= 1) & (mask != 0)] = IGNORE
    mask[distance <= 0] = 0


def _line(generator: np.random.Generator, rows: Array, columns: Array) -> Array:
    """Return the signed distance of each pixel from a random line."""
    size = len(rows)
    row, column = generator.uniform(0.1 * size, 0.9 * size, 2)
    angle = generator.uniform(0, 2 * math.pi)
    distance: Array = (columns - column) * math.cos(angle) + (rows - row) * math.sin(angle)
    return distance


def _paint(picture: Array, colours: Array, distance: Array) -> None:
    """Lay colours over the picture, in place, where distance is below 0, with smooth rims."""
    cover = np.clip(0.5 - distance, 0, 1)[..., None]
    picture += cover * (colours - picture)


def _photograph(
    picture: Array, generator: np.random.Generator, rows: Array, columns: Array
) -> Pixels:
    """Return the picture [size, size, 3] in 8 bits: uneven light, exposure, sensor noise."""
    size = len(rows)
    angle = generator.uniform(0, 2 * math.pi)
    slope = ((columns - size / 2) * math.cos(angle) + (rows - size / 2) * math.sin(angle)) / size
    light = 1 + 2 * generator.uniform(0, LIGHT) * slope
    exposed = 0.5 + (picture * light[..., None] - 0.5) * generator.uniform(*GAIN)
    exposed += generator.uniform(-OFFSET, OFFSET)
    exposed += generator.uniform(*SENSOR_NOISE) * generator.standard_normal(picture.shape)
    return np.floor(np.clip(exposed, 0, 1) * 255 + 0.5).astype(np.uint8)


def _field(generator: np.random.Generator, size: int, cells: int) -> Array:
    """Return smooth noise [size, size] in [-1, 1]: random knots, interpolated."""
    weights = _interpolation(size, cells)
    field: Array = weights @ generator.uniform(-1, 1, (cells + 1, cells + 1)) @ weights.T
    return field


@lru_cache(maxsize=64)
def _interpolation(size: int, cells: int) -> Array:
    """Return the weights [size, cells + 1] of the knots at each pixel: smooth steps between two."""
    place = (np.arange(size) + 0.5) * cells / size
    knot = np.minimum(place.astype(int), cells - 1)
    part = place - knot
    part = part * part * (3 - 2 * part)
    weights = np.zeros((size, cells + 1))
    weights[np.arange(size), knot] = 1 - part
    weights[np.arange(size), knot + 1] = part
    return weights


def _count(generator: np.random.Generator, limits: tuple[int, int]) -> int:
    return int(generator.integers(limits[0], limits[1], endpoint=True))
