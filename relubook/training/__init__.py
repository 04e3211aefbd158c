"""Train many networks at once, each as if it were alone.

`Recipe` says what is trained and how, `train` does it and gives a table. The engine
(`engine.Stack`) is short and meant to be read.
"""

from relubook.training.recipe import Recipe
from relubook.training.runner import train

__all__ = ["Recipe", "train"]
