"""A recipe as the text of a Dockerfile: instructions, and in comments what is known of them and what not.

The first line is always the same and no directive, so nothing from an image can be one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.dockerfile.writing import comment, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.analysis.dockerfile.steps import Recipe, Step

__all__ = ["FIRST_LINE", "document", "from_line"]

FIRST_LINE = "# Made by layerfs from the history of an image: not the Dockerfile it was built from."
_SYNTAX = "# syntax=docker/dockerfile:1"


def document(recipe: Recipe, size: Callable[[int], str]) -> str:
    """The whole text.

    Args:
        recipe: the image.
        size: writes a number of bytes.
    """
    parts = [_head(recipe), [from_line(recipe)], *(_step(step, size) for step in recipe.steps)]
    if recipe.rest.lines or recipe.rest.unknown:
        parts.append([*_told("what the config says, and no step does", recipe)])
    text = "\n\n".join("\n".join(part) for part in parts if part) + "\n"
    has_heredoc = any(
        line.startswith(("ADD ", "COPY ", "RUN ")) and "\n" in line and "<<" in line
        for s in recipe.steps
        for line in s.lines
    )
    return f"{_SYNTAX}\n{text}" if has_heredoc else text


def from_line(recipe: Recipe) -> str:
    """The FROM of a recipe."""
    name = word(recipe.base.name) if recipe.base else None
    return f"FROM {name or 'scratch'}"


def _head(recipe: Recipe) -> list[str]:
    image = recipe.image
    missing = sum(len(step.unknown) for step in recipe.steps) + len(recipe.rest.unknown)
    lines = [FIRST_LINE, comment(f"image {image.name}"), comment(str(image.id))]
    if recipe.title != image.name:
        lines.insert(1, comment(f"container {recipe.title}, made from"))
    if missing:
        lines.append(comment(f"What cannot be known is marked UNKNOWN ({missing})."))
    if recipe.base:
        count = len(recipe.base.config.diff_ids)
        first = "The first layer is that" if count == 1 else f"The first {count} layers are those"
        lines.append(comment(f"{first} of {recipe.base.name}, and so is the history up to there."))
    return lines


def _step(step: Step, size: Callable[[int], str]) -> list[str]:
    lines: list[str] = []
    if step.layer is not None:
        amount = "size unknown" if step.size is None else size(step.size)
        identity = f", {step.diff_id}" if step.diff_id else ""
        lines.append(comment(f"layer {step.layer}, {amount}{identity}"))
    lines += [comment(note) for note in step.notes]
    lines += [comment(f"UNKNOWN: {text}") for text in step.unknown]
    return [*lines, *step.lines]


def _told(title: str, recipe: Recipe) -> Iterator[str]:
    yield comment(title)
    yield from (comment(f"UNKNOWN: {text}") for text in recipe.rest.unknown)
    yield from recipe.rest.lines
