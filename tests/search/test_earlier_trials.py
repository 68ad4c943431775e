"""Searches whose space has changed: the earlier one stays, and what it found is not lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from folder_files import turn_mask, write_folder_data
from formula_search import SPACE, Place, varied
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from semisweep import Bundle, DataConfig, Search
from semisweep.data.shapes import make
from semisweep.tables.rendering import render


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes", train=24, val=4, test=4, size=32)


WIDE = {**SPACE, "config.rank_weight": FloatDistribution(0.001, 1.0, log=True)}


def changed_space(
    root: Path, folder: Path, trials: int = 4, **more: Any
) -> tuple[Place, list[str]]:
    """Return a search that was run for some trials, then in a wider space, and what is said."""
    Place(root, folder).run(trials)
    said: list[str] = []
    place = Place(root, folder, varied(**{"space": {"mini": WIDE}, **more}), say=said.append)
    return place, said


def test_a_wider_space_knows_the_trials_of_the_earlier_one_and_says_so(
    root: Path, tmp_path: Path
) -> None:
    earlier = Place(root, tmp_path)
    earlier.run(4)
    place, said = changed_space(root, tmp_path, trials=0)
    identity = earlier.source.resolved.identity[:12]

    assert said == [
        "weights: another search than before (config.rank_weight 0.02 to 1 (log) -> 0.001 to 1 "
        "(log)) begins; it knows 4 of the 4 earlier trials, and suggests as many of its own as "
        f"asked for; the earlier search stays as weights@{identity}"
    ]
    taken = place.source.entries
    assert [entry.key for entry in taken] == [entry.key for entry in earlier.source.entries]
    assert [entry.origin for entry in taken] == [f"weights@{identity} #{n}" for n in range(4)]
    entry = place.next()
    assert (entry.number, entry.saw) == (4, (0, 1, 2, 3))


def test_a_search_in_a_new_space_makes_as_many_trials_as_it_is_asked_for(
    root: Path, tmp_path: Path
) -> None:
    place, _ = changed_space(root, tmp_path)
    assert place.source.total == 12
    assert place.run() == 12
    assert len(place.source.entries) == 16
    assert Place(root, tmp_path, varied(space={"mini": WIDE}), trials=14).run() == 2


def test_both_searches_have_their_tables(root: Path, tmp_path: Path) -> None:
    place, _ = changed_space(root, tmp_path)
    place.run(1)
    origin = place.source.entries[0].origin.partition(" ")[0]
    shown, earlier = (render([name], place.request) for name in ("weights", origin))

    assert "1 of 1 suggested trials finished." in shown
    assert f"Taken over from searches in another space, and not counted: #0 is {origin} #0" in shown
    assert "4 of 4 suggested trials finished." in earlier
    assert "Taken over" not in earlier


def test_a_search_goes_back_to_an_earlier_space(root: Path, tmp_path: Path) -> None:
    place, _ = changed_space(root, tmp_path)
    place.run(8)
    within = [
        entry.key for entry in place.source.resolved.own
        if entry.params["config.rank_weight"] >= 0.02
    ]  # fmt: skip
    said: list[str] = []
    back = Place(root, tmp_path, say=said.append)

    assert [entry.number for entry in back.source.resolved.own] == [0, 1, 2, 3]
    assert [entry.key for entry in back.source.entries[4:]] == within
    assert back.source.total == 8
    assert "goes on after its 4 trials" in said[0]
    again = Place(root, tmp_path, say=said.append)
    assert again.source.entries == back.source.entries
    assert len(said) == 1


def test_a_change_that_was_cut_off_is_gone_on_with(root: Path, tmp_path: Path) -> None:
    """Killed after the new search has begun, before its file is written."""
    place, _ = changed_space(root, tmp_path)
    whole = place.source.resolved
    studies = place.store.root / "studies"
    old = studies / f"weights@mini@{whole.trials[0].origin[8:20]}.json"
    old.rename(studies / "weights@mini.json")
    again, said = changed_space(root, tmp_path, trials=0)

    assert len(said) == 2 - 1
    assert again.source.entries == whole.trials


FEWER_AGENTS = {**SPACE, "config.agents": IntDistribution(4, 8, log=True)}
WITH_DECAY = {**SPACE, "training.optimizer.weight_decay": FloatDistribution(0, 1)}
WITHOUT_AGENTS = {name: SPACE[name] for name in ("config.threshold", "config.rank_weight")}


@pytest.mark.parametrize(
    ("more", "known", "told"),
    [
        ({"space": {"mini": FEWER_AGENTS}}, None, "4 to 64 (log) -> 4 to 8 (log)"),
        ({"space": {"mini": WITH_DECAY}}, 0, "training.optimizer.weight_decay is varied too"),
        ({"space": {"mini": WITHOUT_AGENTS}}, 0, "config.agents is no longer varied"),
        ({"set": {"mini": {"training.steps": 3}}}, 0, "what is trained besides"),
        ({"metric": "last.test.miou"}, 0, "metric last.val.miou -> last.test.miou"),
        ({"sampler": "random"}, 4, "sampler tpe -> random"),
    ],
)
def test_only_trials_of_the_new_search_are_taken_over(
    root: Path, tmp_path: Path, more: dict[str, Any], known: int | None, told: str
) -> None:
    first = Place(root, tmp_path)
    first.run(4)
    fit = sum(entry.params["config.agents"] <= 8 for entry in first.source.entries)
    said: list[str] = []
    place = Place(root, tmp_path, varied(**more), say=said.append)

    assert len(place.source.entries) == (fit if known is None else known)
    assert told in said[0]


def test_of_a_choice_and_a_bundle_those_are_taken_over_that_make_the_same_trial(
    root: Path, tmp_path: Path
) -> None:
    def bundles(**large: Any) -> Search:
        options = {"small": {"config.agents": 4}, "large": {"config.agents": 8, **large}}
        space = {
            "size": Bundle(options),
            "config.threshold": CategoricalDistribution((0.5, 0.75)),
        }
        return varied(space={"mini": space}, sampler="random")

    first = Place(root, tmp_path, bundles())
    first.run(8)
    small = {entry.key for entry in first.source.entries if entry.params["size"] == "small"}
    second = Place(root, tmp_path, bundles(**{"config.network.channels": 8}))

    assert 0 < len(small) < len({entry.key for entry in first.source.entries})
    assert {entry.key for entry in second.source.entries} == small


def test_a_search_with_changes_stands_beside_the_one_without(root: Path, tmp_path: Path) -> None:
    Place(root, tmp_path).run(3)
    said: list[str] = []
    other = Place(root, tmp_path, changes={"training.steps": 5}, say=said.append)
    other.run(2)
    back = Place(root, tmp_path, say=said.append)

    assert said == []
    assert len(back.source.entries) == 3
    assert len(Place(root, tmp_path, changes={"training.steps": 5}).source.entries) == 2


def test_a_search_survives_the_loss_of_its_file(root: Path, tmp_path: Path) -> None:
    place = Place(root, tmp_path)
    place.run(4)
    (place.store.root / "studies" / "weights@mini.json").unlink()

    assert Place(root, tmp_path).source.entries == place.source.entries


def test_on_other_data_a_search_begins_again_and_knows_the_trials_that_saw_the_same(
    tmp_path: Path,
) -> None:
    root = write_folder_data(tmp_path / "mine")
    preset = dataclasses.replace(
        varied().presets["mini"], data=DataConfig(name="mine", family="random", labelled=4)
    )
    search = varied(presets={"mini": preset})

    def place() -> tuple[Place, list[str]]:
        said: list[str] = []
        return Place(tmp_path, tmp_path / "store", search, say=said.append), said

    first, said = place()
    first.run(3)
    keys = [entry.key for entry in first.source.entries]
    assert said == []
    assert [entry.key for entry in place()[0].source.entries] == keys, "it goes on"

    unlabelled = first.source.splits.of(preset.data).unlabelled[0]
    turn_mask(root / f"train/masks/{unlabelled}.png")
    second, said = place()
    assert "another search than before (images or masks) begins; it knows 3 of the 3" in said[0]
    assert [entry.key for entry in second.source.entries] == keys, "which no trial has seen"

    turn_mask(root / "val/masks/val000.png")
    third, said = place()
    assert "another search than before (images or masks) begins; it knows 0 of the 3" in said[0]
    entry = third.next()
    assert (entry.number, entry.saw) == (0, ())
    assert entry.key not in keys
