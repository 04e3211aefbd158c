r"""A calculus for functions with kinks: exact, or an error that says what is open.

For an expression $f$ in one real variable, built from arithmetic, real powers, exp,
log, trigonometric, inverse and hyperbolic functions, erf, Abs, sign, Heaviside, floor,
ceiling, Max, Min and Piecewise, with real parameters as symbols:

| question | answer |
|---|---|
| slopes on both sides, or on one | `one_sided_derivatives`, `one_sided_derivative` |
| the work, line by line | `derivation` |
| where the slopes differ | `kinks` |
| the smooth pieces, their derivative | `pieces`, `derivative` |
| the class $C^k$ | `smoothness` |
| subgradients | `clarke_subdifferential`, `is_subgradient` |
| the second derivative with its point masses | `second_derivative_distribution` |
| monotone, convex, Lipschitz, range | `properties` |

Every function takes `f` and `z`, a `Symbol("z", real=True)`. Where a condition cannot
be decided it raises `Undecided` and names the condition; `OutsideDomain`,
`Discontinuous` and `NoSlope` say why there is no slope. All four are `ValueError`s.

Two methods that share no code answer the first question: the rules for one-sided
expansions (`expansions.py`) compute, SymPy's limit of the difference quotient after the
substitution $z = a \pm h$ (`substitution.py`) checks and is what `derivation` shows.
Chapter "Differentiability" introduces all of it.
"""

from relubook.calculus.derivations import Derivation, derivation
from relubook.calculus.expansions import (
    Discontinuous,
    NoSlope,
    OutsideDomain,
    Undecided,
)
from relubook.calculus.pieces import (
    SecondDerivative,
    Smoothness,
    derivative,
    kinks,
    pieces,
    second_derivative_distribution,
    smoothness,
)
from relubook.calculus.ranges import Properties, is_subgradient, properties
from relubook.calculus.slopes import (
    Slopes,
    clarke_subdifferential,
    one_sided_derivative,
    one_sided_derivatives,
)
