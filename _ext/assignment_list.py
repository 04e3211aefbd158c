"""The assignments on a page: the `{assignment-list}` directive.

It takes what it shows from the front matters of `assignments/*/*.md`; the files that it
links are put into the site by `tools/build.py`.
"""

from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from relubook.grading import assignments

PACKAGES = {"numpy": "NumPy", "sympy": "SymPy", "matplotlib": "Matplotlib",
            "torch": "PyTorch"}
BRANCH = "assignments"  # of the repository; it holds what the site has


class AssignmentList(SphinxDirective):
    """Each assignment with its length, its points, its chapter and its links."""

    def run(self):
        root = Path(self.env.srcdir)
        self.env.note_dependency("_toc.yml")
        try:
            masters = [assignments.read(name, root=root)
                       for name in assignments.names(root)]
        except assignments.AssignmentError as error:
            raise self.error(str(error)) from error
        for master in masters:
            self.env.note_dependency(f"assignments/{master.name}/{master.name}.md")
        masters.sort(key=partial(_place, chapters=_order(root)))
        config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
        address = urlsplit(config.get("repository", {}).get("url", "")).path.strip("/")
        items = (self._item(number, master, address)
                 for number, master in enumerate(masters, 1))
        return [nodes.definition_list("", *items, classes=["assignments"])]

    def _item(self, number, master, address):
        title = nodes.strong("", f"{number}. {master.config['title']}")
        about, links = self._parse(_about(master)), nodes.raw(
            "", " · ".join(_links(master, address)), format="html")
        return nodes.definition_list_item(
            "", nodes.term("", "", title, ids=[f"assignment-{master.name}"]),
            nodes.definition("", *about, nodes.paragraph("", "", links)),
        )

    def _parse(self, markdown):
        parsed = nodes.Element()
        lines = StringList([markdown], source="assignments")
        self.state.nested_parse(lines, 0, parsed)
        return parsed.children


def _order(root):
    """The chapters as `_toc.yml` lists them."""
    contents = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    return [Path(page["file"]).name for part in contents.get("parts", [])
            for page in part["chapters"]]


def _place(master, chapters):
    """Where an assignment stands: after its last chapter, those of a few chapters first."""
    found = [chapters.index(slug) for slug in master.config["chapters"]
             if slug in chapters] or [len(chapters)]
    return max(found), len(found), master.name


def _about(master):
    """What a student wants to know first, in Markdown."""
    config = master.config
    points = sum(question.points for question in master.questions)
    text = f"{points:g} points, about {config['minutes']} minutes."
    if config["requires"]:
        needs = ", ".join(PACKAGES[package] for package in config["requires"])
        text += f" Needs {needs}."
    if config["chapters"]:
        chapters = (f"{{doc}}`/chapters/{slug}`" for slug in config["chapters"])
        text += f" Belongs to {', '.join(chapters)}."
    return text


def _links(master, address):
    """Links to the files that `tools/build.py` puts into the site, and to Colab."""
    name, notebook = master.name, f"{master.name}.ipynb"
    for file in [notebook, *(path.name for path in master.data)]:
        yield f'<a href="../assignments/{name}/{file}" download>{file}</a>'
    if address:
        yield (f'<a href="https://colab.research.google.com/github/{address}/blob/'
               f'{BRANCH}/{name}/{notebook}">Open in Colab</a>')


def setup(app):
    app.add_directive("assignment-list", AssignmentList)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
