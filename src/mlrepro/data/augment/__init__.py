"""Augmentation of training pictures: one module a recipe, named as `Run.augment` names it.

The recipes keep the authors' order and distributions, not their random numbers (Python's `random`
and numpy's global state): every draw comes from the generator that the caller seeds.

A recipe is the function `augment(picture, draws)` of its module in `recipes`. Only the one that a
run names is imported, so that a new recipe is no change of the code that other runs depend on.
"""

from collections.abc import Callable
from importlib import import_module

from mlrepro.data.augment.steps import Draws, Picture

Recipe = Callable[[Picture, Draws], Picture]


def recipe_module(name: str) -> str:
    """The module that holds the recipe `name`."""
    return f"mlrepro.data.augment.recipes.{name}"


def find_recipe(name: str) -> Recipe:
    """The recipe `name`: picture (RGB, square) and draws to a new picture of the same size."""
    return import_module(recipe_module(name)).augment
