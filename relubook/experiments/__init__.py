"""The experiments that chapters show on a few seeds and `results/` holds in full.

An experiment is a function `run(seeds, device)` that returns a tidy table with a
column `seed`; a seed gives the same rows in whatever company it runs. The table
EXPERIMENTS says what its full size is. `python -m tools.record NAME` runs that,
piece by piece, and `relubook.records.load(NAME)` reads what was recorded.

Each chapter has a module of its own.
"""

from types import MappingProxyType

from relubook.experiments import elu, leaky, learning, maxout, softplus
from relubook.experiments.common import DEVICES, Experiment, check_seeds

__all__ = ["DEVICES", "EXPERIMENTS", "Experiment", "check_seeds"]

EXPERIMENTS = MappingProxyType({
    name: entry
    for chapter in (learning, leaky, softplus, elu, maxout)
    for name, entry in chapter.EXPERIMENTS.items()
})
