"""The command that checks whether the arms of studies are what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from semisweep.cli.options import Study, make_request, shared

if TYPE_CHECKING:
    from semisweep.checks.arm_integrity import Finding


@click.command()
@click.argument("studies", nargs=-1, required=True, type=Study())
@shared
def check(studies: Sequence[str], **options: Any) -> None:
    """Check that every arm of STUDIES differs from its base in its factor only, and that it bites.

    Nothing is trained but tiny networks, for a few steps. Exit code 2 where an arm is refused.
    """
    from semisweep.checks.arm_integrity import Checker, check_arms, refuse
    from semisweep.study.catalogue import find_study, study_names
    from semisweep.study.declaration import Search
    from semisweep.study.resolve import Splits
    from semisweep.study.scales import has_scale

    request = make_request(**options, names=studies)
    checker = Checker(Splits(request.roots))
    found: list[Finding] = []
    for name in study_names() if tuple(studies) == ("all",) else studies:
        study = find_study(name)
        if isinstance(study, Search) or not has_scale(study.presets, request.scale):
            click.echo(f"{name}: nothing to compare at {request.scale} scale")
            continue
        findings = check_arms(study, request.scale, request.changes, checker)
        for finding in findings:
            click.echo(f"{'refused' if finding.refused else 'warning'}: {name}: {finding}")
        refused = {finding.row for finding in findings if finding.refused}
        click.echo(f"{name}: {len(study.rows)} rows, {len(refused)} refused")
        found += findings
    refuse(found)
