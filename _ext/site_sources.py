"""What Sphinx passes over in silence and this book does not.

A chapter that is missing from `_toc.yml` is not built, and a page with code cells
but no notebook front matter is not executed; both are errors here.
"""

import os
import re
from pathlib import Path

from sphinx.errors import ConfigError
from sphinx_external_toc.parsing import parse_toc_yaml

FRONT_MATTER = re.compile(r"\A---\n.*?^kernelspec:.*?^---$", re.M | re.S)
CODE_CELL = re.compile(r"^(`{3,}|:{3,})\{code-cell\}", re.M)


def check_sources(app):
    """Stop the build at a page that would be left out or left unexecuted."""
    root = Path(app.srcdir)
    listed = set(parse_toc_yaml(root / app.config.external_toc_path))
    for page in [root / "index.md", *sorted(root.glob("chapters/*.md"))]:
        name = page.relative_to(root).with_suffix("").as_posix()
        if name not in listed:
            raise ConfigError(
                f"{name}.md is not in _toc.yml, so it would not be built: "
                f"add the line `- file: {name}` where it belongs, or remove the page."
            )
        text = page.read_text(encoding="utf-8")
        if CODE_CELL.search(text) and not FRONT_MATTER.match(text):
            raise ConfigError(
                f"{name}.md has code cells but no notebook front matter, so they "
                "would not be executed: begin it with the `jupytext:` and "
                "`kernelspec:` block that the other chapters begin with."
            )


def setup(app):
    # Kernels inherit it: in the book's build unsupported claims raise.
    os.environ["RELUBOOK_BUILD"] = "1"
    app.connect("builder-inited", check_sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
