"""Writes studies/methods_compared.svg of the README from tests/golden/methods_compared.parquet.

python tests/benchmarks/readme_picture.py
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import pandas as pd

from semisweep.statistics.intervals import paired_difference, paired_interval
from semisweep.study.catalogue import find_study
from semisweep.study.declaration import Study

GOLDEN = Path(__file__).parents[1] / "golden" / "methods_compared.parquet"
PICTURE = Path(__file__).parents[2] / "studies/methods_compared.svg"
WIDTH, LEFT, RIGHT, TOP, STEP = 640, 110, 20, 52, 22
LOW, HIGH = -8, 16  # points of mIoU
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.e{text-anchor:end}.m{text-anchor:middle}"
    "path{stroke:#24292f;stroke-width:1.5;fill:none}.g{stroke:#8c959f;stroke-width:.5}"
    "circle{fill:#0969da;fill-opacity:.55}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}path{stroke:#e6edf3}"
    ".g{stroke:#6e7681}circle{fill:#58a6ff}}"
)


def picture(results: pd.DataFrame) -> str:
    """Return, as SVG, what each method gains over Supervised on the first data set."""
    study = find_study("methods_compared")
    assert isinstance(study, Study)
    points = results[results.generator_seed == 0].assign(
        points=lambda frame: 100 * frame["last.test.miou"],
        replicate=lambda frame: frame.seed.map(str),
    )
    cells = {
        name: dict(zip(cell.replicate, cell.points, strict=True))
        for name, cell in points.groupby("row")
    }
    rows = [row for row in study.rows if row.name != study.base]
    bottom = TOP + STEP * len(rows)
    title = "Points of mIoU above supervised training, 32 labelled images of 512"
    told = "dots: five seeds, paired; stroke: their mean; line: its 95 % interval"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 24}" role="img">',
        f"<title>{title}</title><style>{STYLE}</style>",
        f'<text x="{LEFT}" y="16">{title}</text>',
        f'<text x="{LEFT}" y="34">{told}</text>',
    ]
    for tick in range(LOW, HIGH + 1, 4):
        kind = "" if tick == 0 else ' class="g"'
        parts.append(f'<path{kind} d="M{_at(tick)} {TOP - 6}V{bottom}"/>')
        text = f"{tick:+d}" if tick else "0"
        parts.append(f'<text class="m" x="{_at(tick)}" y="{bottom + 16}">{text}</text>')
    for number, row in enumerate(rows):
        down = TOP + STEP * number + STEP / 2
        delta = paired_difference(cells[row.name], cells[study.base])
        low, high = paired_interval(delta)
        mean = delta.mean
        parts.append(f'<text class="e" x="{LEFT - 10}" y="{down + 4}">{escape(row.label)}</text>')
        parts += [f'<circle cx="{_at(own)}" cy="{down}" r="4"/>' for own in delta.units.values()]
        parts.append(f'<path d="M{_at(low)} {down}H{_at(high)}M{_at(mean)} {down - 7}v14"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _at(points: float) -> float:
    assert LOW <= points <= HIGH, points
    return round(LEFT + (points - LOW) / (HIGH - LOW) * (WIDTH - LEFT - RIGHT), 1)


if __name__ == "__main__":
    PICTURE.write_text(picture(pd.read_parquet(GOLDEN)), encoding="utf-8")
