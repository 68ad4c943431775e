"""Every letter of a label is printed by LaTeX, or named."""

from __future__ import annotations

import logging

import pytest

from semisweep.tables.latex_text import escaped, with_note


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("α = 0.5 & β_1", r"\ensuremath{\alpha} = 0.5 \& \ensuremath{\beta}\_1"),
        ("γ → 0", r"\ensuremath{\gamma} \ensuremath{\rightarrow} 0"),
        ("σ ≥ 1, ς, Λ, Ω", r"\ensuremath{\sigma} \ensuremath{\geq} 1, \ensuremath{\varsigma}, "
         r"\ensuremath{\Lambda}, \ensuremath{\Omega}"),
        ("w/o Šimša’s loss", r"w/o \v{S}im\v{s}a's loss"),
        ("μ‑ramp", r"\ensuremath{\mu}-ramp"),
        ("y₁ ķ ą Łódź", r"y\textsubscript{1} \c{k} \k{a} \L{}ód\'{z}"),
        ("e\u0301 at 5 µm²", "é at 5 µm²"),  # Latin-1 is in T1 fonts
        ("a\u200bb\ufe0f", "ab"),
    ],
)  # fmt: skip
def test_letters_have_commands(text: str, latex: str) -> None:
    assert escaped(text) == latex


@pytest.mark.parametrize("first", ["α", "Α"])
def test_all_of_greek_is_printed(first: str) -> None:
    for code in range(ord(first), ord(first) + 25):
        letter = chr(code)
        assert letter == "\u03a2" or escaped(letter).startswith(r"\ensuremath{")  # none is there


def test_what_has_no_command_is_named_in_the_text_and_beside_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        text = with_note(escaped("by 漢 and ί"))

    named = "U+6F22 CJK UNIFIED IDEOGRAPH-6F22, U+03AF GREEK SMALL LETTER IOTA WITH TONOS"
    assert text.splitlines()[1] == "by {[U+6F22]} and {[U+03AF]}"
    assert text.startswith("% ")
    assert named in text
    assert named in caplog.text
    assert with_note("plain") == "plain"
    assert with_note(escaped("{[U+6F22]}")) == r"\{[U+6F22]\}"  # a label that has it is no loss
