"""What of a YAML file is refused before it is built: values that grow without end, or too deep.

An alias costs a few letters and may stand for all that is above it: twenty lines of `[*a, *a, *a]`
are a billion values, which would fill the memory. libyaml and pydantic follow nested values by
recursion, which ends in a crash. The parser's events cost neither.
"""

from dataclasses import dataclass

import yaml

# Values that aliases may add to those that are written; a settings file has some hundreds in all.
MOST_BY_ALIASES = 100_000

DEEPEST = 100  # lists and mappings within one another, where settings have a handful


class YamlSizeError(ValueError):
    """The message says which line is too much, and what to do about it."""


@dataclass
class _Collection:
    """A list or a mapping that has begun. values: so far, itself and those within."""

    anchor: str | None
    values: int = 1


def check_size(text: str, loader: type) -> None:
    """Raises YamlSizeError for aliases that stand for too much, and for values nested too deep.

    loader: whose parser reads the text; what is no YAML raises its errors.
    """
    within: list[_Collection] = []
    values_of: dict[str | None, int] = {}  # by anchor; none: never asked for
    by_aliases = 0

    for event in yaml.parse(text, loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionStartEvent):
            within.append(_Collection(event.anchor))
            if len(within) > DEEPEST:
                raise YamlSizeError(f"line {line}: nested more than {DEEPEST} deep; write it flat")
            continue

        if isinstance(event, yaml.AliasEvent):
            _check_circle(event.anchor, within, line)
            values = values_of.get(event.anchor, 0)  # an unknown one is an error when it is built
            by_aliases += values
            if by_aliases > MOST_BY_ALIASES:
                raise YamlSizeError(
                    f"line {line}: the aliases down to *{event.anchor} stand for more than "
                    f"{MOST_BY_ALIASES:,} values; write out what is meant"
                )
        elif isinstance(event, yaml.ScalarEvent):
            values = 1
            values_of[event.anchor] = values
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = within.pop()
            values = ended.values
            values_of[ended.anchor] = values
        else:
            continue

        if within:
            within[-1].values += values


def _check_circle(anchor: str, within: list[_Collection], line: int) -> None:
    if any(collection.anchor == anchor for collection in within):
        raise YamlSizeError(f"line {line}: *{anchor} stands within what it stands for; remove it")
