"""Options of presets: what a paper's release does where the paper says otherwise, chosen by name.

`--option NAME`, or option=NAME among the changes of a study, applies to every cell whose preset
has an option of that name; the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from semisweep.core.errors import ConfigError
from semisweep.core.markdown import grid
from semisweep.study.declaration import Search, Study
from semisweep.study.scales import Fields, Option, Preset, at_scale, preset_at
from semisweep.study.search_space import varied

OPTION = "option"  # its name among changes


def chosen(changes: Fields) -> list[str]:
    """Return the names of the options among changes; raise `ConfigError` for anything else."""
    text = changes.get(OPTION, "")
    if not isinstance(text, str):
        raise ConfigError(f"option must be a name, or names with commas between, got {text!r}")
    return [name for name in text.split(",") if name]


def option_fields(preset: Preset, changes: Fields) -> dict[str, object]:
    """Return the fields that the chosen options set where a preset has them."""
    own = [preset.options[name] for name in chosen(changes) if name in preset.options]
    return {path: value for option in own for path, value in option.set.items()}


def options_of(study: Study | Search, scale: str) -> list[tuple[str, Option]]:
    """Return the options of all presets of a study at a scale, each as often as they differ.

    A search has none that set what it varies.
    """
    free = at_scale(study.space, scale, {}) if isinstance(study, Search) else {}
    found: list[tuple[str, Option]] = []
    for preset in _presets(study, scale):
        items = [item for item in preset.options.items() if not item[1].set.keys() & varied(free)]
        found += [item for item in items if item not in found]
    return sorted(found, key=lambda item: item[0])


def check_options(study: Study | Search, scale: str, changes: Fields) -> None:
    """Raise `ConfigError` for a chosen option that no preset of the study has."""
    known = dict(options_of(study, scale))
    for name in chosen(changes):
        if name not in known:
            raise ConfigError(
                f"an option must be one of {study.name} at {scale} scale, got option={name!r}; "
                f"options: {', '.join(known) or 'none'}"
            )


def options_table(study: Study | Search, scale: str) -> str:
    """Return what may be chosen instead of a study's presets, "" where nothing may."""
    found = options_of(study, scale)
    if not found:
        return ""
    lines = [
        [name, ", ".join(f"{path}={value}" for path, value in own.set.items()), own.source]
        for name, own in found
    ]
    title = "### Options: --option NAME\n\n"
    return title + grid([["option", "sets", "source"], *lines])


def with_options(changes: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    """Return changes with some options chosen as well."""
    given = [*chosen(changes), *names]
    return {**changes, **({OPTION: ",".join(sorted(set(given)))} if given else {})}


def _presets(study: Study | Search, scale: str) -> Iterator[Preset]:
    sources = [study.presets]
    if isinstance(study, Study):
        sources += [column.presets for column in study.columns if column.exists(scale)]
    found = (preset_at(presets, scale) for presets in sources)
    yield from (preset for preset in found if preset is not None)
