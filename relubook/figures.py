"""Figures of the book; each takes and returns an Axes.

The figures of one activation keep its colour and dash everywhere (`line_style`), and
none relies on colour alone.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import sympy as sp
from matplotlib.collections import PolyCollection
from matplotlib.colors import BoundaryNorm, ListedColormap

from relubook.activations import relu, z
from relubook.notebook import in_build

BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"
)
LINE_STYLES = {
    "identity": (BLACK, ":"),
    "relu": (BLUE, "-"),
    "leaky_relu": (VERMILION, "--"),
    "prelu": (ORANGE, "--"),
    "absolute_value": (PURPLE, "-."),
    "softplus": (GREEN, "-"),
    "elu": (SKY, "-."),
    "selu": (ORANGE, "-."),
    "celu": (GREEN, "-."),
    "sigmoid": (VERMILION, ":"),
    "tanh": (PURPLE, ":"),
    "gelu": (ORANGE, "-"),
    "silu": (SKY, "--"),
    "relu6": (BLUE, "--"),
    "hardtanh": (BLACK, "--"),
}

MAP_SHADES = ["#ffffff", "#c6dbef", "#6baed6", "#2171b5", "#08306b"]
MAP_STEPS = [0, 0.5, 1, 4, 64, 2**16]


def use_style():
    """Draw in the book's style, as SVG where a notebook shows the figure.

    In the book's own build the background is transparent, so that one rule of the
    site's style sheet can turn the ink white in dark mode; elsewhere it stays white.
    Call it once at the top of a notebook.
    """
    plt.style.use(Path(__file__).with_name("relubook.mplstyle"))
    if in_build():
        plt.rcParams.update({"figure.facecolor": "none", "axes.facecolor": "none",
                             "savefig.transparent": True})
    if "inline" in plt.get_backend():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def line_style(name):
    """Colour and dash of the activation called `name`, the same in every figure.

    An activation of the reader's own has none and gets black, solid.

    >>> line_style("relu")
    {'color': '#0072B2', 'linestyle': '-'}
    """
    color, linestyle = LINE_STYLES.get(name, (BLACK, "-"))
    return {"color": color, "linestyle": linestyle}


def plot_activation(activation, ax, low=-4.0, high=4.0, gaps=()):
    """Draw an activation's value over [low, high] in its own colour and dash.

    The line breaks at `gaps`, for functions that jump there.
    """
    points = _grid(low, high, gaps)
    values = np.where(np.isin(points, gaps), np.nan, activation(points))
    ax.plot(points, values, label=activation.name, **line_style(activation.name))
    ax.set(xlabel="pre-activation $z$", ylabel="value")
    return ax


def plot_derivative(activation, ax, low=-4.0, high=4.0, gaps=()):
    """Draw an activation's derivative; the line breaks where there is none.

    The derivative is the one `Activation.derivative` derives, evaluated on a grid that
    holds the points where its pieces meet and `gaps`, where it breaks, so that a gap is
    visible. Where the formula overflows, nothing is drawn.
    """
    slope = activation.derivative
    meeting = {point for piece in slope.atoms(sp.core.relational.Relational)
               for point in piece.args if point.is_number}
    points = _grid(low, high, [*map(float, meeting), *gaps])
    with np.errstate(all="ignore"):
        values = sp.lambdify(z, slope, "scipy")(points)
    values = np.where(np.isin(points, gaps), np.nan, values)
    ax.plot(points, values, label=activation.name, **line_style(activation.name))
    ax.set(xlabel="pre-activation $z$", ylabel="derivative")
    return ax


def _grid(low, high, extra):
    points = np.union1d(np.linspace(low, high, 401), extra)
    return points[(points >= low) & (points <= high)]


def plot_layer(x, weights, biases, output_weights, axes):
    """Draw a layer with one input, a unit a row: a line, bent, scaled.

    x [n]; weights, biases and output_weights [units]; axes [units, 3]. The columns are
    w x + b, ReLU(w x + b) and v ReLU(w x + b). Returns `axes`.
    """
    if not len(weights) == len(biases) == len(output_weights) == len(axes):
        raise ValueError(
            f"weights, biases, output_weights and axes have {len(weights)}, "
            f"{len(biases)}, {len(output_weights)} and {len(axes)} rows; "
            "wanted the same number, one a unit"
        )
    x = np.asarray(x)
    titles = "pre-activation $z$", "activation $h$", "weighted, $v h$"
    for ax, title in zip(axes[0], titles):
        ax.set_title(title)
    for row, w, b, v in zip(axes, weights, biases, output_weights):
        line = w * x + b
        for ax, stage in zip(row, (line, relu(line), v * relu(line))):
            ax.plot(x, stage)
            ax.axhline(0, color="black", linewidth=0.5)
        row[0].set_ylabel(f"$w={w:g}$, $b={b:g}$")
        row[2].annotate(f"$v={v:g}$", (0.05, 0.05), xycoords="axes fraction")
    for ax in axes[-1]:
        ax.set_xlabel("input $x$")
    return axes


def plot_regions(regions, ax):
    """Draw linear regions in the plane, neighbours told apart by shade and outline.

    `regions` come from `relubook.regions.linear_regions`; a region's shade is its
    affine map's slope in the first input.
    """
    slopes = [np.ravel(region.gradient)[0] for region in regions]
    cells = PolyCollection([region.polygon for region in regions], array=slopes,
                           cmap="Pastel1" if len(regions) < 9 else "viridis",
                           alpha=0.6, edgecolor="black", linewidth=0.6)
    ax.add_collection(cells)
    ax.autoscale_view()
    ax.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    ax.grid(False)
    return ax


def plot_half_float_map(errors, ax):
    """Draw the error at every half-float as one pixel: 256 by 256, a bit pattern each.

    Rows are the high byte of the pattern (sign, exponent, top of the fraction), columns
    the low byte. `errors` [256, 256] holds units in the last place, as
    `relubook.precision.half_float_errors` gives them: white up to one half, which is
    correctly rounded, then darker in steps. `figure.colorbar(ax.images[0])` explains
    the shades.
    """
    if np.shape(errors) != (256, 256):
        raise ValueError(f"errors has shape {np.shape(errors)}; wanted (256, 256)")
    worst = MAP_STEPS[-1]
    ax.imshow(
        np.minimum(errors, np.nextafter(worst, 0)), interpolation="nearest",
        cmap=ListedColormap(MAP_SHADES), norm=BoundaryNorm(MAP_STEPS, len(MAP_SHADES)),
    )
    ax.set(xlabel="low byte", ylabel="high byte")
    ax.set_xticks([0, 128, 255])
    ax.set_yticks([0, 128, 255])
    ax.grid(False)
    return ax
