"""What a shell is told to complete, asked as a shell asks it."""

from __future__ import annotations

import pytest
from click.shell_completion import BashComplete

from semisweep.cli.commands import cli


@pytest.mark.parametrize(
    ("line", "incomplete", "found"),
    [
        (["run"], "quick", {"quickstart"}),
        (["run", "quickstart", "--scale"], "p", {"photo", "proxy", "paper"}),
        (["debug", "gps_losses"], "gps+", {"gps+fps", "gps+cps", "gps+cps+fps"}),
        (["debug", "gps_losses", "gps", "--column"], "Pas", {"Pascal VOC"}),
        (["run", "quickstart", "--set"], "training.ste", {"training.steps="}),
        (["run", "quickstart", "--retrain"], "Rank", {"RankMatch"}),
        (["run", "no_such_study", "--set"], "training.", set()),
        (["table"], "gps/f", {"gps/factorial"}),
        (["debug", "gps/leave-one-out"], "exch", {"exchange"}),
        (["ablate"], "rank", {"rankmatch"}),
        (["ablate", "gps", "--design"], "lea", {"leave-one-out"}),
        (["ablate", "gps", "--switches"], "guide,fe", {"guide,feedback"}),
        (["ablate", "no_such_method", "--switches"], "", set()),
    ],
)
def test_names_are_completed(line: list[str], incomplete: str, found: set[str]) -> None:
    complete = BashComplete(cli, {}, "semisweep", "_SEMISWEEP_COMPLETE")

    values = {item.value for item in complete.get_completions(line, incomplete)}

    assert values == found
