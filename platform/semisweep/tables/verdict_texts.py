"""What a table says of its verdicts: the words of a cell, and how they were reached."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from semisweep.statistics.alpha_spending import ALPHA, OPEN
from semisweep.statistics.intervals import FEWEST, several_draws
from semisweep.statistics.power import MOST_REPLICATES, POWER, Further
from semisweep.tables.table_values import Cell, Table

NO_VERDICT = "–"
UNJUDGED = ("too few", "identical")


def confidence(level: float) -> str:
    """Return the confidence of intervals at a level, such as "96 %"; never rounded to 100."""
    return _percent(1 - level, level)


def significance(level: float) -> str:
    """Return a level of significance, such as "0.5 %"."""
    return _percent(level, level)


def unit_of(table: Table) -> str:
    """Return what n counts."""
    return "draws" if several_draws(table.replicates) else "seeds"


def base_label(table: Table) -> str:
    """Return the label of the row that others are compared with."""
    return next((row.label for row in table.rows if row.name == table.base), table.base)


def verdict(cell: Cell, margin: float) -> str:
    """Return a cell's verdict with its corrected p-value, or with what it would take."""
    decision = cell.decision
    if decision is None:
        return NO_VERDICT
    told = p_value(decision.p)
    p = f" ({told})" if told else ""
    if decision.verdict == "equivalent":
        return "equivalent"
    if decision.verdict == "inconclusive":
        return f"inconclusive{further_text(decision.further)}"
    if decision.verdict == "too few":
        return f"too few (n < {FEWEST})"
    if decision.verdict == "identical":
        return "identical: does the factor act?"
    if decision.verdict == "apart":
        return f"no verdict: {_apart(cell, decision.apart)}"
    if decision.verdict == "stopped":
        return f"stopped: behind {decision.behind}{p}"
    small = f", by < {margin:g}" if decision.within_margin else ""
    return f"{decision.verdict}{small}{p}"


def p_value(p: float) -> str:
    """Return a p-value; "" where there is none."""
    if math.isnan(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def how(table: Table) -> Iterator[str]:
    """Yield in short how verdicts were reached, and what is bold."""
    decisions = [cell.decision for cell in table.cells.values() if cell.decision is not None]
    if decisions and all(decision.verdict in UNJUDGED for decision in decisions):
        yield f"no verdict below {FEWEST} {unit_of(table)}, nor where rows are equal in all of them"
    elif decisions:
        yield _judged(table)
        if table.detectable:
            yield f"detectable (power {100 * POWER:.0f} %): {_detectable(table)}"
        if any(decision.further for decision in decisions):
            yield f"+a to b: {unit_of(table)} that a verdict may still take"
    elif table.comparisons + table.exploratory:
        yield f"no verdict before all trials of a row and of “{base_label(table)}” have finished"
    if any(table.best.get(column.name) for column in table.columns):
        yield "bold: not separated from the best"
    elif table.best:
        yield "no bold: no row is separated from the best"


def methods(table: Table) -> Iterator[str]:
    """Yield the methods behind intervals and verdicts, each with its reference."""
    yield (
        f"Intervals of ours: {confidence(table.level)}, Student's t of the {unit_of(table)} on the "
        f"scale of logits, so that they stay between 0 and 100; none below {FEWEST}."
    )
    decisions = [cell.decision for cell in table.cells.values() if cell.decision is not None]
    if not decisions:
        return
    yield (
        "Verdicts: t tests of Δ with the noise of all rows (two-way analysis of variance: Scheffé "
        "1959), corrected after Holm (1979) over the comparisons of the table; the row's own "
        "differences and the base row have to confirm them. Equivalent: two one-sided tests "
        f"(Schuirmann 1987) show Δ within ±{table.margin:g} points."
    )
    if table.comparisons:
        yield (
            f"Intervals of Δ: of {table.comparisons} confirmatory comparisons all at once "
            f"{confidence(table.level)} (Bonferroni)"
            + (", of exploratory ones each on its own." if table.exploratory else ".")
        )
    if any(decision.verdict == "apart" for decision in decisions):
        yield (
            "Apart: a run whose studentized residual (Cook and Weisberg 1982) is too large for a "
            "table of such; with it, spread and shape allow no verdict."
        )
    yield _level(table)


def noise_note(table: Table) -> Iterator[str]:
    """Yield by how much equal trainings differ, and differences of two rows."""
    parts = []
    for column in table.columns:
        noise = table.noise.get(column.name)
        if noise is not None:
            place = f"{column.label}: " if len(table.columns) > 1 else ""
            within = "" if math.isnan(noise.within) else f", seeds of a draw {noise.within:.1f}"
            parts.append(
                f"{place}{noise.std:.1f} [{noise.low:.1f}, {noise.high:.1f}], "
                f"of a paired difference {noise.paired:.1f}{within} "
                f"({noise.freedom} degrees of freedom)"
            )
    if parts:
        yield (
            f"Noise: standard deviation of one of the {unit_of(table)}, pooled over rows, with its "
            f"{confidence(table.level)} interval; that of differences decides: {'; '.join(parts)}."
        )


def order_note(table: Table) -> Iterator[str]:
    """Yield whether the published order holds; tau only where half of the pairs are settled."""
    order = table.order
    if order is None:
        return
    text = (
        f"Published order: {order.settled} of {order.pairs} pairs of rows are settled, "
        f"{order.settled_kept} of them as published"
    )
    if 2 * order.settled >= order.pairs:
        text += f"; Kendall's τ {order.tau:.2f} [{order.low:.2f}, {order.high:.2f}]"
    yield f"{text}."


def differences(cell: Cell) -> str:
    """Return the difference of every unit of replication, such as "0/0: +1.2, 0/1: -0.3"."""
    return ", ".join(f"{unit}: {value:+.1f}" for unit, value in cell.differences.items())


def _judged(table: Table) -> str:
    looks = "any number" if table.looks == OPEN else str(table.looks)
    text = f"Verdicts at {significance(table.level)} (look {table.look} of {looks})"
    if table.comparisons > 1:
        text += f", Holm over {table.comparisons} comparisons, whose Δ intervals hold all at once"
    if table.exploratory:
        text += "; exploratory: interval of that row alone, no verdict"
    return f"{text}; equivalent: within ±{table.margin:g} points"


def _level(table: Table) -> str:
    whole = significance(ALPHA)
    if table.looks == OPEN:
        return (
            f"Level: {whole} for all looks together (Bonferroni), most of it for the first; this "
            f"is look {table.look}, at {significance(table.level)}."
        )
    if table.looks == 1:
        return f"Level: {whole}, for one look; there is no other."
    return (
        f"Level: {whole} for all {table.looks} planned looks, spent after Lan and DeMets (1983); "
        f"this is look {table.look}, at {significance(table.level)}."
    )


def _detectable(table: Table) -> str:
    """Return the smallest difference that columns detect: one, or from the least to the most."""
    low, high = (f"{end(table.detectable.values()):.1f}" for end in (min, max))
    return f"{low} points" if low == high else f"{low} to {high} points by column"


def _percent(share: float, level: float) -> str:
    digits = max(0, 1 - math.floor(math.log10(100 * level)))
    text = f"{100 * share:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def further_text(more: Further | None) -> str:
    """Return how many more units a verdict may take, behind "inconclusive"; "" where unknown."""
    if more is None:
        return ""
    if more.low >= MOST_REPLICATES:
        return f", +> {MOST_REPLICATES}"
    if more.high >= MOST_REPLICATES:
        return f", +{more.low} to > {MOST_REPLICATES}"
    return f", +{more.low}" if more.low == more.high else f", +{more.low} to {more.high}"


def _apart(cell: Cell, units: Sequence[str]) -> str:
    """Return which runs lie apart, and by how much from the row's other differences."""
    word, found = "run" if all("/" in unit for unit in units) else "draw", []
    for unit in units:
        own = cell.differences.get(unit, math.nan)
        others = [value for name, value in cell.differences.items() if name != unit]
        far = own - sum(others) / len(others) if others else math.nan
        found.append((unit, "" if math.isnan(far) else f" ({far:+.1f})"))
    if len(found) == 1:
        return f"{word} {found[0][0]} lies apart{found[0][1]}"
    return f"{word}s {', '.join(map(''.join, found))} lie apart"
