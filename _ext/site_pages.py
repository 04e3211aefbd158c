"""Small repairs of the pages that Jupyter Book 1 and its theme produce.

Each is one function that says what it mends. They act on the finished pages, because
what they mend comes from theme templates, which we do not want to copy.
"""

import re
import shutil
from pathlib import Path

from docutils import nodes

THEBE = re.compile(r"thebe", re.IGNORECASE)


def drop_thebe_scripts(app, pagename, templatename, context, doctree):
    """Thebe is not used; its script throws on every page and names a CDN."""
    for key in ("script_files", "css_files"):
        context[key] = [asset for asset in context.get(key, []) if not is_thebe(asset)]


def is_thebe(asset):
    body = getattr(asset, "attributes", {}).get("body", "")
    return THEBE.search(f"{getattr(asset, 'filename', '')} {body}") is not None


def drop_launch_buttons(app, pagename, templatename, context, doctree):
    """A page without a notebook beside it has nothing to launch."""
    if not twin(app, pagename).exists():
        app.env.metadata[pagename].pop("kernelspec", None)


def offer_twins(app, exception):
    """Offer the readable notebook for download, not the source with its directives."""
    if exception is None and app.builder.format == "html":
        for page in app.env.found_docs:
            target = Path(app.outdir, "_sources", page).with_suffix(".ipynb")
            if twin(app, page).exists() and target.exists():
                shutil.copy(twin(app, page), target)


def twin(app, pagename):
    return Path(app.srcdir, pagename).with_suffix(".ipynb")


def drop_thebe_nodes(app, doctree, docname):
    """The same for the settings that myst-nb leaves in the page."""
    for raw in list(doctree.findall(nodes.raw)):
        text = raw.astext()
        if "x-thebe-config" in text or text.startswith("<script>kernelName"):
            raw.parent.remove(raw)


def repair_pages(app, exception):
    """Apply `repair` to every page of the finished site."""
    if exception is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            old = page.read_text(encoding="utf-8")
            new = repair(old)
            if new != old:
                page.write_text(new, encoding="utf-8")


def repair(page):
    """`page` with the theme's slips mended; a second call changes nothing."""
    # 527 KiB of script that replace icons which the web fonts draw already
    page = re.sub(r'\s*<script defer src="[^"]*/?scripts/fontawesome\.js[^>]*></script>',
                  "", page)
    # the search index holds up no first paint
    page = re.sub(r'<script src="([^"]*(?:searchtools|language_data|searchindex)\.js[^"]*)"',
                  r'<script defer src="\1"', page)
    # sphinx-proof and sphinx-exercise repeat these on every box and use them nowhere
    page = re.sub(r' id="(?:proof|exercise|solution)(?:-content)?"', "", page)
    # labels that say something else than the words they label
    page = page.replace(' aria-label="Toggle hidden content"', "")
    page = re.sub(r'(<button class="btn search-button-field[^>]*) aria-label="Search"',
                  r"\1", page)
    # a list whose items are not marked as such
    page = page.replace('<div role="list" class="citation-list">',
                        '<div class="citation-list">')
    # what scrolls can be reached by keyboard
    return re.sub(r'<div class="math"(?! tabindex)', '<div class="math" tabindex="0"',
                  page)


def setup(app):
    app.connect("html-page-context", drop_launch_buttons, priority=100)
    app.connect("html-page-context", drop_thebe_scripts, priority=900)
    app.connect("doctree-resolved", drop_thebe_nodes, priority=900)
    app.connect("build-finished", offer_twins)
    app.connect("build-finished", repair_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
