"""The split lists that papers share, as facts: who published them, how many, and their digests.

The lists themselves are other people's files and are not here: `semisweep data splits import` reads
them. A digest is `semisweep.data.splits.ids_digest` of plain ids: 2007_000033 of Pascal VOC,
aachen_000000_000019 of Cityscapes. Counted from the lists in the repositories of UniMatch, CPS,
U2PL and ST++; UniMatch's `u2pl_1_*` are U2PL's lists, and all repositories' classic lists agree.
"""

from __future__ import annotations

from typing import NamedTuple


class Pool(NamedTuple):
    """The training images that the two lists of a split make up together."""

    dataset: str
    images: int
    digest: str
    name: str


class Known(NamedTuple):
    """One published split. The unlabelled images are all others of its data set's pool."""

    dataset: str
    family: str
    labelled: int
    draw: int
    digest: str
    rest_digest: str  # of the unlabelled images
    high_quality: int | None = None  # labelled images of Pascal VOC's own training list


VOC_AUGMENTED = Pool("voc", 10_582, "855dff350b7f447bf43c", "Pascal VOC with SBD")
VOC_OWN = Pool("voc", 1_464, "129f1fe991729b186211", "Pascal VOC's own training list")
CITYSCAPES = Pool("cityscapes", 2_975, "356596e69da79ecbd3f6", "Cityscapes")
POOLS = (VOC_AUGMENTED, VOC_OWN, CITYSCAPES)
WHOLE = {pool.dataset: pool for pool in (VOC_AUGMENTED, CITYSCAPES)}

# CPS's few-label lists: labelled images as in "classic", unlabelled ones of VOC_OWN alone.
PSEUDOSEG = "pseudoseg"

KNOWN = (
    Known("voc", "classic", 92, 0, "124b0aab2fcd1767214b", "7ea77f8ddd7b327e30f9", 92),
    Known("voc", "classic", 92, 1, "4343386598d07b0bfeaa", "ea7aea36a97d95815f32", 92),
    Known("voc", "classic", 92, 2, "89c08fc17f50ff6ed0bb", "f827c738c2df46a19a2d", 92),
    Known("voc", "classic", 183, 0, "79b959bccf7753cd70bb", "92513e42c678015ad6d5", 183),
    Known("voc", "classic", 366, 0, "f0e702c687e2ba711cb7", "0bee39f227c8a753c13c", 366),
    Known("voc", "classic", 732, 0, "8c23014f512884b9ef51", "2080ec33c9d7155dfc62", 732),
    Known("voc", "classic", 1464, 0, "129f1fe991729b186211", "6d42f86cb89ef37e7937", 1464),
    Known("voc", "blender", 662, 0, "baa85754594fcd33c7f0", "c38f02fc6adc3443bbd0", 93),
    Known("voc", "blender", 1323, 0, "c9ca45b4e688d408cd08", "0ff7a0ae65046a6dc058", 193),
    Known("voc", "blender", 2646, 0, "fd0e8dca3dac524cf3b8", "dc5e8c04738506348f5a", 388),
    Known("voc", "blender", 5291, 0, "5338f277730143e02973", "42ae9d1941af68208ea7", 742),
    Known("voc", "u2pl", 662, 0, "feea4692738362e44972", "c3164407fe1afafee5bd", 662),
    Known("voc", "u2pl", 1323, 0, "23921931a21324cfefdf", "30096b9cd7d52f57cd15", 1323),
    Known("voc", "u2pl", 2646, 0, "d35f7cd4b4815e1d8380", "892d724811ae64a852cb", 1464),
    Known("voc", "u2pl", 5291, 0, "aacb97f26e9468b4eb3c", "85946ed6e18be17cab0b", 1464),
    Known("cityscapes", "unimatch", 186, 0, "1e5363dd012cdc467f63", "61bcee728accc752a3b1"),
    Known("cityscapes", "unimatch", 372, 0, "6b3b52bab110157aaefa", "f46ba729eeb2f706224c"),
    Known("cityscapes", "unimatch", 744, 0, "6856046a4415296a575f", "e4e4be16eefac6fcb9a4"),
    Known("cityscapes", "unimatch", 1488, 0, "2b3183629a3a9f1a1e9b", "6f7c0b1fb101525b4287"),
    Known("cityscapes", "u2pl", 186, 0, "f20f7c7dea9c3a2eccb6", "d01da4f44587bee2a829"),
    Known("cityscapes", "u2pl", 372, 0, "f13edf481be983d5f188", "3758d38898f6a5c80321"),
    Known("cityscapes", "u2pl", 744, 0, "7d0cfd6f5390d26ddd4f", "444217079b69829bb6ec"),
    Known("cityscapes", "u2pl", 1488, 0, "c6122be0439bfc0d28f8", "62648790e6cdf3d5aead"),
)
FAMILIES = tuple(dict.fromkeys([*(known.family for known in KNOWN), PSEUDOSEG]))


def known_split(digest: str) -> Known | None:
    """Return the published split whose labelled images have this digest, or None."""
    return next((known for known in KNOWN if known.digest == digest), None)


def known_pool(digest: str) -> Pool | None:
    """Return the set of training images that has this digest, or None."""
    return next((pool for pool in POOLS if pool.digest == digest), None)
