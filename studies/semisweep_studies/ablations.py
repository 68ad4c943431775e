"""The methods that come along, as they are taken apart: `semisweep ablate NAME`.

Those of the papers are trained as their own ablations are, in the first column of these, and their
switches are in the order of the paper. Baselines are trained as they are compared with each other,
at mini scale and on photographs.
"""

from __future__ import annotations

from semisweep import Ablation, Column, Method
from semisweep_methods.css import CSS
from semisweep_methods.gps import GPS
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.segkc import SegKC
from semisweep_methods.stpg import STPG
from semisweep_studies import css as css_studies
from semisweep_studies import gps as gps_studies
from semisweep_studies import rankmatch as rankmatch_studies
from semisweep_studies import segkc as segkc_studies
from semisweep_studies import stpg as stpg_studies
from semisweep_studies.comparison import compared
from semisweep_studies.photo import PHOTO_PRESETS, at_photo
from semisweep_studies.presets import MINI
from semisweep_studies.tables import MINI_LABEL, MINI_LABELLED

COLUMN = at_photo(Column(name=MINI_LABEL, set={"mini": MINI_LABELLED}))

segkc = Ablation(
    method=SegKC,
    name="segkc",
    paper="segkc",
    presets={**segkc_studies.PRESETS, **PHOTO_PRESETS},
    columns=[at_photo(segkc_studies.CLASSIC_COLUMNS[0])],
    switches=("consistency", "distillation", "consultation"),
)
stpg = Ablation(
    method=STPG,
    name="stpg",
    paper="stpg",
    presets={**stpg_studies.PRESETS, **PHOTO_PRESETS},
    columns=[at_photo(stpg_studies.COMPONENT_COLUMNS[1])],
    scaled=stpg_studies.MINI_STPG,
    switches=("unlabelled", "dual", "selection", "contrast"),
)
gps = Ablation(
    method=GPS,
    name="gps",
    paper="gps",
    presets={**gps_studies.PRESETS, **PHOTO_PRESETS},
    columns=[at_photo(gps_studies.PASCAL_EIGHTH)],
    set=gps_studies.NO_CUTMIX,  # as in Table 4
    switches=("guide", "exchange", "feedback", "ramp"),
)
css = Ablation(
    method=CSS,
    name="css",
    paper="css",
    presets={**css_studies.PRESETS, **PHOTO_PRESETS},
    columns=[at_photo(css_studies.FEW)],
    scaled=css_studies.SMALL,
    switches=("label_spaces", "indicators", "contrast", "hard_sampling"),
)
rankmatch = Ablation(
    method=RankMatch,
    name="rankmatch",
    paper="rankmatch",
    presets={**rankmatch_studies.PRESETS, **PHOTO_PRESETS},
    columns=[at_photo(rankmatch_studies.FEW)],
    scaled=rankmatch_studies.FEWER_AGENTS,
    switches=("views", "second_view", "features", "correlation", "rank", "orthogonal"),
)


def of_method(method: type[Method], name: str = "") -> Ablation:
    """Return the ablation of a method with the settings that it is compared with."""
    row = next((own for own in compared.rows if own.method is method), None)
    return Ablation(
        method=method,
        name=name,
        presets={"mini": MINI, **PHOTO_PRESETS},
        columns=[COLUMN],
        set={} if row is None else row.set,
        scaled={} if row is None else row.scaled,
    )
