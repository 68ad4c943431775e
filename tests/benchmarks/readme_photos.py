"""Writes studies/quickstart_photographs.jpg of the guide: photographs and what methods see.

    semisweep run quickstart --scale photo --option cpu --data camvid=DATA --store STORE
    python tests/benchmarks/readme_photos.py STORE DATA

Of each row the weights of its first draw; the images stand evenly spaced in the test part's list.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from golden_tables import PHOTO
from PIL import Image, ImageDraw, ImageFont

from semisweep import Store
from semisweep.evaluation.prediction import coloured, predict
from semisweep.report.arms import arms, opened, shown_images
from semisweep.study.data_roots import Roots
from semisweep.training.protocols import Protocol

PICTURE = Path(__file__).parents[2] / "studies/quickstart_photographs.jpg"
STUDY, IMAGES = "quickstart", 4
WIDTH, HEIGHT, GAP, HEAD = 240, 180, 6, 26  # pixels


def columns(store: Store, roots: Roots, data: Path) -> Iterator[tuple[str, list[Image.Image]]]:
    """Yield a name and a picture of each image: photographs, truth, what each row sees."""
    table = next(own for own in PHOTO.resolved(data) if own.name == STUDY)
    shown = arms(table, table.columns[0].name, store)
    for number, arm in enumerate(shown):
        method, dataset = opened(arm, store, roots)
        ids = shown_images(dataset, IMAGES)
        images = [dataset.image(own) for own in ids]
        if number == 0:
            yield "photograph", [Image.fromarray(own) for own in images]
            yield "truth", [coloured(dataset.mask(own), dataset.palette) for own in ids]
        seen = [predict(method, own, Protocol()) for own in images]
        yield arm.label, [coloured(own, dataset.palette) for own in seen]


def picture(found: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    """Return all columns beside each other, under their names."""
    size = (len(found) * (WIDTH + GAP) - GAP, HEAD + IMAGES * (HEIGHT + GAP) - GAP)
    whole = Image.new("RGB", size, "white")
    drawn = ImageDraw.Draw(whole)
    for number, (name, pictures) in enumerate(found):
        left = number * (WIDTH + GAP)
        middle = (left + WIDTH / 2, HEAD / 2)
        drawn.text(middle, name, fill="black", anchor="mm", font=ImageFont.load_default(16))
        for line, own in enumerate(pictures):
            kind = Image.Resampling.NEAREST if own.mode == "P" else Image.Resampling.LANCZOS
            top = HEAD + line * (HEIGHT + GAP)
            whole.paste(own.resize((WIDTH, HEIGHT), kind).convert("RGB"), (left, top))
    return whole


def main(arguments: list[str]) -> None:
    """Write the picture."""
    store, data = Store.open(Path(arguments[0])), Path(arguments[1]).absolute()
    roots = Roots(data.parent, {PHOTO.data: data})
    picture(list(columns(store, roots, data))).save(PICTURE, quality=80, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
