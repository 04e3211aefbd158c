"""What a chapter's cells need to know about the place they run in."""

import os

import numpy as np


def in_build() -> bool:
    """Say whether the book is being built: whether `RELUBOOK_BUILD` is set.

    A reader's own run has it unset. An empty value counts as unset.
    """
    return bool(os.environ.get("RELUBOOK_BUILD"))


def glue(name, value):
    """Keep `value` under `name`, so that the page's text can print the computed number.

    In the book this is `myst_nb.glue` without its display, and the text refers to the
    value as ``{glue:text}`name:.2f` ``. JupyterLab, VS Code and Colab know neither;
    there it does nothing. A NumPy scalar is kept as the Python number it holds, because
    the page formats what is printed, and NumPy prints `np.float64(0.5)`.

    Raises TypeError for a name that is not a string and ValueError for one that the
    page's text could not refer to: empty, or with a colon, which starts the format,
    or a backtick, which ends the reference.

    >>> glue("slope", 0.01)
    """
    if not isinstance(name, str):
        raise TypeError(f"name={name!r} is a {type(name).__name__}, not a string")
    if not name.strip() or ":" in name or "`" in name:
        raise ValueError(f"name={name!r} must not be empty or contain ':' or '`'")
    if in_build():
        import myst_nb

        if isinstance(value, np.generic):
            value = value.item()
        myst_nb.glue(name, value, display=False)
