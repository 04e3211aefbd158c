"""Figures: each draws what it says on the Axes it is given, and returns it."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from relubook import figures, networks, precision, regions
from relubook.activations import CATALOGUE, Activation, z


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_every_activation_has_a_style_of_its_own():
    styles = [tuple(figures.line_style(name).values()) for name in CATALOGUE]
    assert set(figures.LINE_STYLES) == set(CATALOGUE)
    assert len(set(styles)) == len(CATALOGUE)


def test_an_activation_of_the_reader_is_black(ax):
    figures.plot_activation(Activation("square", z**2), ax)
    assert ax.lines[0].get_color() == figures.BLACK


@pytest.mark.parametrize("name", CATALOGUE)
def test_value_and_derivative_are_those_of_the_activation(name, ax):
    assert figures.plot_activation(CATALOGUE[name], ax) is ax
    assert figures.plot_derivative(CATALOGUE[name], ax) is ax
    value, slope = (line.get_xydata() for line in ax.lines)
    np.testing.assert_array_equal(value[:, 1], CATALOGUE[name](value[:, 0]))
    # Away from bends the drawn slope is that of the drawn value.
    steps = np.diff(value[:, 1]) / np.diff(value[:, 0])
    near = np.minimum(np.abs(steps - slope[1:, 1]), np.abs(steps - slope[:-1, 1]))
    assert np.nanmax(near) < 0.02


@pytest.mark.parametrize("limits", [(-4, 4), (-1, 3.1)])
def test_the_derivative_of_relu_has_a_gap_at_zero(limits, ax):
    figures.plot_derivative(CATALOGUE["relu"], ax, *limits)
    points, slopes = ax.lines[0].get_xydata().T
    assert np.array_equal(points[np.isnan(slopes)], [0.0])


@pytest.mark.parametrize("name", CATALOGUE)
def test_no_warning_far_out(name, ax):
    figures.plot_activation(CATALOGUE[name], ax, -1000, 1000)
    figures.plot_derivative(CATALOGUE[name], ax, -1000, 1000)


def test_wrong_shapes_are_named(ax):
    with pytest.raises(ValueError, match=r"errors has shape \(2, 2\); wanted"):
        figures.plot_half_float_map(np.zeros((2, 2)), ax)
    with pytest.raises(ValueError, match="1, 2, 1 and 1 rows; wanted the same"):
        figures.plot_layer([0, 1], [1], [0, 1], [1], [[ax, ax, ax]])


def test_notebooks_show_vector_graphics():
    cells = ["from relubook import figures; import matplotlib.pyplot as plt",
             "figures.use_style()", "plt.plot([0, 1]); plt.show()"]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
    )
    NotebookClient(notebook, kernel_name="python3").execute()
    assert "image/svg+xml" in notebook.cells[-1].outputs[-1].data


def test_layer_shows_line_bend_and_weight():
    x, w, b, v = np.linspace(-1, 1, 5), [1.0, -2.0], [0.5, 0.0], [3.0, -1.0]
    figure, axes = plt.subplots(2, 3)
    assert figures.plot_layer(x, w, b, v, axes) is axes
    drawn = [[ax.lines[0].get_ydata() for ax in row] for row in axes]
    for row, wi, bi, vi in zip(drawn, w, b, v):
        line = wi * x + bi
        bent = np.array([max(0, value) for value in line])
        np.testing.assert_allclose(row, [line, bent, vi * bent])
    plt.close(figure)


def test_regions_are_drawn_once_each(ax):
    net = networks.random_network((2, 3, 1), np.random.default_rng(0))
    parts = regions.linear_regions(*net, ((-1, 1), (-1, 1)))
    assert figures.plot_regions(parts, ax) is ax
    assert len(ax.collections[0].get_paths()) == len(parts)


def test_half_float_map_puts_every_error_into_its_shade(ax):
    errors = precision.half_float_errors(lambda z: z, lambda z: z)
    errors[0, :6] = [0.5, 0.6, 2, 5, 100, np.inf]
    assert figures.plot_half_float_map(errors, ax) is ax
    image = ax.images[0]
    shades = image.cmap(image.norm(image.get_array()))[0, :7]
    names = [matplotlib.colors.to_hex(shade) for shade in shades]
    assert names == [*figures.MAP_SHADES[1:2], *figures.MAP_SHADES[1:],
                     figures.MAP_SHADES[-1], figures.MAP_SHADES[0]]


def test_style_is_transparent_only_in_the_build(monkeypatch):
    with matplotlib.rc_context():
        monkeypatch.delenv("RELUBOOK_BUILD", raising=False)
        figures.use_style()
        assert not plt.rcParams["savefig.transparent"]
        monkeypatch.setenv("RELUBOOK_BUILD", "1")
        figures.use_style()
        assert plt.rcParams["savefig.transparent"]
