"""Draw the README's picture, `_static/cover.png`, with the code of the front page.

    python -m tools.cover
"""

from pathlib import Path

import jupytext
import matplotlib

ROOT = Path(__file__).resolve().parent.parent


def main():
    matplotlib.use("agg")
    page = {}
    for cell in jupytext.read(ROOT / "index.md").cells:
        if cell.cell_type == "code":
            exec(cell.source, page)
    page["fig"].savefig(ROOT / "_static/cover.png", dpi=130)


if __name__ == "__main__":
    main()
