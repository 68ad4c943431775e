"""Text as LaTeX that prints it: no letter is a command, and none is lost unsaid."""

from __future__ import annotations

import logging
import re
import unicodedata

logger = logging.getLogger(__name__)

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    **dict.fromkeys("‐‑", "-"),
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "„": r"\quotedblbase{}",
    "…": r"\ldots{}",
    "•": r"\textbullet{}",
    "‰": r"\textperthousand{}",
    "€": r"\texteuro{}",
    "™": r"\texttrademark{}",
    "†": r"\textsuperscript{\dag}",
    "‡": r"\textsuperscript{\ddag}",
    "ı": r"\i{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "đ": r"\dj{}",
    "Đ": r"\DJ{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ŋ": r"\ng{}",
    "Ŋ": r"\NG{}",
}
GREEK = "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho"
AFTER_RHO = "varsigma sigma tau upsilon varphi chi psi omega"
CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
MATHS = {
    **{chr(ord("α") + at): f"\\{name}" for at, name in enumerate(f"{GREEK} {AFTER_RHO}".split())},
    **{mark: f"\\{name}" for mark, name in zip("ΓΔΘΛΞΠΣΥΦΨΩ", CAPITALS.split(), strict=True)},
    "∆": r"\Delta",
    "ο": "o",
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", (f"\\mathrm{{{x}}}" for x in "ABEZHIKMNOPTX"), strict=True)),
    "ϵ": r"\epsilon",
    "ϕ": r"\phi",
    "ϑ": r"\vartheta",
    "ϱ": r"\varrho",
    "ϖ": r"\varpi",
    "±": r"\pm",
    "∓": r"\mp",
    "×": r"\times",
    "÷": r"\div",
    "−": "-",
    "·": r"\cdot",
    "≤": r"\leq",
    "≥": r"\geq",
    "≠": r"\neq",
    "≈": r"\approx",
    "≪": r"\ll",
    "≫": r"\gg",
    "∼": r"\sim",
    "≃": r"\simeq",
    "≅": r"\cong",
    "≡": r"\equiv",
    "∝": r"\propto",
    "→": r"\rightarrow",
    "←": r"\leftarrow",
    "↔": r"\leftrightarrow",
    "↦": r"\mapsto",
    "↑": r"\uparrow",
    "↓": r"\downarrow",
    "⇒": r"\Rightarrow",
    "⇐": r"\Leftarrow",
    "⇔": r"\Leftrightarrow",
    "∀": r"\forall",
    "∃": r"\exists",
    "¬": r"\neg",
    "∈": r"\in",
    "∉": r"\notin",
    "∋": r"\ni",
    "⊂": r"\subset",
    "⊆": r"\subseteq",
    "∪": r"\cup",
    "∩": r"\cap",
    "∖": r"\setminus",
    "∅": r"\emptyset",
    "∧": r"\wedge",
    "∨": r"\vee",
    "⊕": r"\oplus",
    "⊗": r"\otimes",
    "⊙": r"\odot",
    "∘": r"\circ",
    "∑": r"\sum",
    "∏": r"\prod",
    "∫": r"\int",
    "∂": r"\partial",
    "∇": r"\nabla",
    "∞": r"\infty",
    "√": r"\surd",
    "‖": r"\|",
    "′": "'",
    "″": "''",
    "ℓ": r"\ell",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    "⌊": r"\lfloor",
    "⌋": r"\rfloor",
    "⊥": r"\perp",
    "✓": r"\surd",
    "★": r"\star",
    "☆": r"\star",
    "∗": r"\ast",
    "ℝ": r"\mathbf{R}",
}
ACCENTS = {  # combining mark -> accent of T1 fonts
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0308": '"',
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
    "\u0328": "k",
    "\u0323": "d",
    "\u0331": "b",
}
INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff\xad]")


def escaped(text: str) -> str:
    """Return text as LaTeX that prints it.

    A letter that has no command becomes its number in brackets, such as {[U+6F22]}.
    """
    plain = unicodedata.normalize("NFC", INVISIBLE.sub("", " ".join(text.split())))
    return "".join(map(_letter, plain))


def with_note(text: str) -> str:
    """Return LaTeX with a comment, and a warning, that name the letters it could not print."""
    lost = dict.fromkeys(re.findall(r"\{\[U\+([0-9A-F]{4,6})\]\}", text))
    if not lost:
        return text
    names = [f"U+{code} {unicodedata.name(chr(int(code, 16)), '')}".strip() for code in lost]
    note = f"LaTeX has no command for {', '.join(names)}: printed as its number; change the label"
    logger.warning("%s", note)
    return f"% {note}\n{text}"


def _letter(mark: str) -> str:
    if mark in SPECIAL:
        return SPECIAL[mark]
    if mark in MATHS:
        return f"\\ensuremath{{{MATHS[mark]}}}"
    if mark.isascii() or "\xa0" < mark <= "\xff":
        return mark
    # In braces: after \\item, a bracket would begin an argument.
    return _decomposed(mark) or f"{{[U+{ord(mark):04X}]}}"


def _decomposed(mark: str) -> str:
    """Return an accented letter, a super- or a subscript; "" for what is neither."""
    kind, _, parts = unicodedata.decomposition(mark).rpartition(">")
    letters = "".join(chr(int(code, 16)) for code in parts.split())
    if kind in ("<super", "<sub") and len(letters) == 1:
        inner = _letter(letters)
        return "" if "[U+" in inner else f"\\text{kind[1:]}script{{{inner}}}"
    if kind or len(letters) != 2 or letters[1] not in ACCENTS or not letters[0].isascii():
        return ""
    beneath = letters[1] in "\u0327\u0328\u0323\u0331"
    base = f"\\{letters[0]}" if letters[0] in "ij" and not beneath else letters[0]
    return f"\\{ACCENTS[letters[1]]}{{{base}}}"
