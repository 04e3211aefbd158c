"""Read the built site and name what a reader would stumble over.

    python -m tools.check_site _build/html [--source .]

prints each problem as `page.html: problem` and exits 1, or prints one line and exits 0.
It sees what stands in the files: resources from other hosts, links and anchors that
lead nowhere, images without alt text, repeated ids, LaTeX and MyST that were never
rendered, outputs that nobody meant. What only a browser knows, `tests/site` tests.
"""

import argparse
import posixpath
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import tinycss2
import yaml
from bs4 import BeautifulSoup, NavigableString

# Sphinx writes these itself: there is no source that could carry a description.
GENERATED = {"genindex.html", "search.html"}

# What a browser loads unasked. Links such as rel=canonical or rel=next are not loaded.
LOADED_LINKS = {
    "apple-touch-icon", "dns-prefetch", "icon", "manifest", "mask-icon",
    "modulepreload", "preconnect", "prefetch", "preload", "stylesheet",
}
LOADED_ATTRIBUTES = {
    "src": None,  # of any element
    "poster": None,
    "data": {"object"},
    "href": {"base", "image", "use"},
    "xlink:href": {"image", "use"},
}

# An address in a script is a load if it names an asset, comes from a host that serves
# nothing else, or stands after a word that loads it.
SCRIPT_URL = re.compile(r"""["'`]((?:https?:)?//[\w.-]+\.\w[^"'`\s[\]]*)""")
ASSET = re.compile(r"\.(m?js|css|json|wasm|woff2?|ttf|png|jpe?g|gif|svg)$")
ASSET_HOST = re.compile(r"cdn|unpkg|esm\.sh|jspm|^(ajax|fonts|polyfill)\.")
LOADS = re.compile(r"\b(import|from|fetch|importScripts)\s*\(?\s*$")
SCRIPT_TYPES = {"", "module", "importmap", "text/javascript", "application/javascript"}

LEFT_IN_PROSE = {
    r"\{[a-z][\w:.-]*\}`": "a MyST role was not rendered",
    r"(?m)(:{3,}|`{3,})\{|^:{3,}\s*$": "a MyST directive was not rendered",
    r"(?m)^\([\w:-]+\)=\s*$": "a MyST label was not rendered",
    r"\\[a-zA-Z]{2,}|\$\$[^$]*(\$\$)?": "LaTeX was not rendered",
}
LEFT_IN_OUTPUT = {
    r"<Figure size": "a cell ends in the text of a figure; end it with `;`",
    r"\bat 0x[0-9a-f]{6,}": "a cell shows an object's address; end it with `;`",
    r"Traceback \(most recent": "a cell failed; tag it `raises-exception` if it should",
}
NOT_PROSE = {"code", "kbd", "math", "noscript", "pre", "samp", "script", "style"}

GENERIC_ALT = re.compile(
    r"image|img|figure|fig|picture|plot|graph|diagram|photo"
    r"|\S+\.(png|svg|jpe?g|gif|webp)|.*_images/.*|<?figure size.*|.*<axes.*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Site:
    """The pages below `root`, parsed, by their path from it; the ids of each."""

    root: Path
    pages: dict
    anchors: dict


def problems(html_dir, source=None):
    """What is wrong with the site in `html_dir`: a list of `page.html: problem`.

    With `source`, the checkout that the site was built from, what the launch and edit
    buttons open is looked up there.

    Raises FileNotFoundError if `html_dir` holds no page or `source` no `_config.yml`.
    """
    site = read_site(html_dir)
    repository = repository_address(source) if source is not None else None
    found = []
    for name, page in site.pages.items():
        lines = [
            *head_problems(name, page),
            *resource_problems(site, name, page),
            *link_problems(site, name, page),
            *image_problems(page),
            *id_problems(page),
            *text_problems(page),
        ]
        if repository is not None:
            lines += button_problems(page, repository, Path(source), site.root)
        found += [f"{name}: {line}" for line in dict.fromkeys(lines)]
    return found + asset_problems(site) + orphan_problems(site)


def main(arguments=None):
    parser = argparse.ArgumentParser("python -m tools.check_site")
    parser.add_argument("html_dir", help="the built site, for example _build/html")
    parser.add_argument("--source", help="the checkout it was built from")
    options = parser.parse_args(arguments)
    try:
        found = problems(options.html_dir, options.source)
    except FileNotFoundError as error:
        parser.error(str(error))
    if found:
        print(*found, sep="\n")
        return 1
    count = len(read_names(options.html_dir))
    print(
        f"{count} pages: no external resource, missing alt text, duplicate id, "
        "broken link or anchor"
    )
    return 0


def read_site(html_dir):
    root = Path(html_dir)
    pages = {
        name: BeautifulSoup((root / name).read_text("utf-8"), "html.parser")
        for name in read_names(root)
    }
    anchors = {
        name: {element["id"] for element in page.find_all(id=True)}
        | {element["name"] for element in page.find_all("a", attrs={"name": True})}
        for name, page in pages.items()
    }
    return Site(root, pages, anchors)


def read_names(html_dir):
    """The pages below `html_dir`; folders such as `_static` hold none."""
    names = (p.relative_to(html_dir).as_posix() for p in Path(html_dir).rglob("*.html"))
    pages = sorted(name for name in names if not re.match(r"_|.*/_", name))
    if not pages:
        raise FileNotFoundError(f"html_dir={html_dir} holds no page; run `make book`")
    return pages


def head_problems(name, page):
    if not (page.html and page.html.get("lang")):
        yield "<html> has no lang"
    if not (page.title and page.title.get_text(strip=True)):
        yield "no <title>"
    description = page.find("meta", attrs={"name": "description"})
    if name not in GENERATED and not (description and description.get("content")):
        yield "no meta description"
    if not any("icon" in link.get("rel", []) for link in page.find_all("link")):
        yield "no favicon"
    # The theme repeats the title in a block that is shown on paper only.
    printed = page.select(".onlyprint h1")
    if (count := len(page.find_all("h1")) - len(printed)) != 1:
        yield f"{count} <h1>, wanted one"


def resource_problems(site, name, page):
    for element, url in page_resources(page):
        yield from load_problems(site, name, url, f"<{element.name}>")
    for url in page_css_urls(page):
        yield from load_problems(site, name, url, "css")
    for script in page.find_all("script", src=False):
        if script.get("type", "").lower() in SCRIPT_TYPES:
            yield from script_problems(script.get_text())


def page_resources(page):
    """Each (element, address) that a browser loads together with the page."""
    for element in page.find_all(True):
        for attribute, names in LOADED_ATTRIBUTES.items():
            if attribute in element.attrs and (names is None or element.name in names):
                yield element, element[attribute]
        if element.name == "link" and LOADED_LINKS & set(element.get("rel", [])):
            yield element, element.get("href", "")
        if "srcset" in element.attrs and not element["srcset"].startswith("data:"):
            for candidate in element["srcset"].split(","):
                yield from ((element, url) for url in candidate.split()[:1])


def page_css_urls(page):
    for element in page.find_all("style"):
        yield from css_urls(element.get_text())
    for element in page.find_all(style=re.compile(r"url\(", re.IGNORECASE)):
        yield from css_urls(element["style"])


def css_urls(css):
    """Each address that a style sheet loads, by `url(...)` or `@import "..."`."""
    tokens = css
    if isinstance(css, str):
        tokens = tinycss2.parse_component_value_list(css, skip_comments=True)
    importing = False
    for token in tokens:
        if token.type == "url" or (importing and token.type == "string"):
            yield token.value
        elif token.type == "function" and token.lower_name == "url":
            yield from (part.value for part in token.arguments if part.type == "string")
        else:
            inner = getattr(token, "arguments", getattr(token, "content", None)) or ()
            yield from css_urls(inner)
        if token.type != "whitespace":
            importing = token.type == "at-keyword" and token.lower_value == "import"


def script_problems(script):
    for match in SCRIPT_URL.finditer(script):
        parts = urlsplit(match[1])
        before = script[max(0, match.start() - 40) : match.start()]
        if ASSET.search(parts.path) or ASSET_HOST.search(parts.netloc) or (
            LOADS.search(before)
        ):
            yield f"external resource in a script: {match[1]}"


def load_problems(site, name, url, where):
    """What is wrong with `url`, which `where` in the file `name` loads."""
    parts = urlsplit(url.strip())
    if parts.scheme in ("data", "blob", "about") or url.startswith("#"):
        return
    if parts.scheme or parts.netloc:
        yield f"external resource in {where}: {url}"
    elif reason := dead_end(site, name, url):
        yield f"broken resource in {where}: {url} ({reason})"


def link_problems(site, name, page):
    for link in page.find_all(["a", "area"], href=True):
        url = link["href"].strip()
        parts = urlsplit(url)
        if url in ("", "#"):
            # A page names itself so, in its table of contents and in the logo.
            own = {"current", "navbar-brand"} & set(link.get("class", []))
            if not (own or link.get("role") == "button" or link.has_attr("onclick")):
                yield f"link to nowhere: {url!r} of {link.get_text(strip=True)!r}"
        elif parts.scheme == "file" or parts.hostname in ("localhost", "127.0.0.1"):
            yield f"link to the machine that built the book: {url}"
        elif not parts.scheme and not parts.netloc:
            if reason := dead_end(site, name, url):
                yield f"broken link: {url} ({reason})"


def dead_end(site, name, url):
    """Why the relative `url` in the file `name` leads nowhere; None if it does not."""
    parts = urlsplit(url.strip())
    anchor = unquote(parts.fragment)
    if parts.path.startswith("/"):
        return "it starts at the host's root, above the book"
    target = target_path(site, name, url)
    if target.startswith(".."):
        return "it leaves the book"
    if not (site.root / target).is_file():
        return "no such file"
    if anchor and target in site.pages and anchor not in site.anchors[target] | {"top"}:
        return "no such anchor"
    return None


def target_path(site, name, url):
    """The path in the site that the relative `url` in the file `name` names."""
    path = unquote(urlsplit(url.strip()).path)
    if not path:
        return name
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
    if (site.root / target).is_dir():
        target = posixpath.normpath(posixpath.join(target, "index.html"))
    return target


def image_problems(page):
    for image in page.find_all("img"):
        source = image.get("src", "")
        source = source if len(source) <= 100 else f"{source[:60]}..."
        alt = image.get("alt", "").strip()
        if image.get("alt") == "" and (is_decoration(image) or in_named_link(image)):
            continue
        if not alt:
            yield f"image without alt text: {source}"
        elif GENERIC_ALT.fullmatch(alt) or alt == Path(source).stem:
            yield f"image whose alt text says nothing: {alt!r} of {source}"
    for drawing in page.select("svg, canvas, [role=img]:not(img)"):
        if not (is_decoration(drawing) or is_named(drawing)):
            yield f"drawing without a name or role=img: {opening_tag(drawing)}"
    for frame in page.find_all("iframe", title=False):
        yield f"frame without a title: {frame.get('src')}"


def is_decoration(element):
    return element.get("role") in ("presentation", "none") or any(
        part.get("aria-hidden") == "true" for part in [element, *element.parents]
    )


def in_named_link(image):
    """Whether a link or button around the image has text, which alt would repeat."""
    link = image.find_parent(["a", "button"])
    return link is not None and link.get_text(strip=True) != ""


def is_named(element):
    title = element.find("title", recursive=False)
    named = element.get("aria-label") or element.get("aria-labelledby") or (
        title and title.get_text(strip=True)
    )
    return named and (element.name != "svg" or element.get("role") == "img")


def opening_tag(element):
    return str(element).partition(">")[0][:80] + ">"


def id_problems(page):
    ids = Counter(element["id"] for element in page.find_all(id=True))
    for name, count in ids.items():
        if count > 1:
            tags = ", ".join(sorted({e.name for e in page.find_all(id=name)}))
            yield f"duplicate id: {name!r} on {count} elements ({tags})"


def text_problems(page):
    for error in page.find_all(class_="katex-error"):
        yield f"KaTeX error: {error.get('title') or error.get_text()}"
    for message in page.find_all(class_=["system-message", "problematic"]):
        yield f"Sphinx error: {message.get_text(' ', strip=True)[:100]}"
    text = "".join(prose(page.body or page))
    for pattern, meaning in LEFT_IN_PROSE.items():
        for match in re.finditer(pattern, text):
            yield f"{meaning}: {excerpt(text, match)!r}"
    for output in page.find_all(class_="cell_output"):
        meant = output.find_parent(class_="tag_raises-exception")
        text = output.get_text()
        for pattern, meaning in LEFT_IN_OUTPUT.items():
            match = re.search(pattern, text)
            if match and not (meant and pattern.startswith("Traceback")):
                yield f"{meaning}: {excerpt(text, match)!r}"


def prose(element):
    """The text that is neither code nor formula; a backquote stands for inline code."""
    for child in element.children:
        if type(child) is NavigableString:
            yield child
        elif getattr(child, "name", None) == "code":
            yield "`"
        elif child.name and child.name not in NOT_PROSE:
            if "katex" not in child.get("class", []):
                yield from prose(child)


def excerpt(text, match):
    around = text[max(0, match.start() - 20) : match.end() + 20]
    return " ".join(around.split())[:100]


def asset_problems(site):
    """The same for the local style sheets and scripts that the pages load."""
    loaded = [
        (name, url)
        for name, page in site.pages.items()
        for _, url in page_resources(page)
    ]
    found, seen = [], set()
    for name, url in loaded:  # grows by what style sheets load
        parts = urlsplit(url)
        asset = target_path(site, name, url)
        if parts.scheme or parts.netloc or asset in seen:
            continue
        seen.add(asset)
        if not asset.endswith((".css", ".js", ".mjs")) or dead_end(site, name, url):
            continue
        text = (site.root / asset).read_text("utf-8", errors="replace")
        if asset.endswith(".css"):
            lines = []
            for url in css_urls(text):
                loaded.append((asset, url))
                lines += load_problems(site, asset, url, "css")
        else:
            lines = script_problems(text)
        found += [f"{asset}: {line}" for line in dict.fromkeys(lines)]
    return found


def orphan_problems(site):
    """Pages that Sphinx built by mistake: the table of contents has all the others."""
    linked = {"index.html", *GENERATED}
    for name, page in site.pages.items():
        targets = {target_path(site, name, a["href"]) for a in page.select("a[href]")}
        linked |= targets - {name}
    orphans = set(site.pages) - linked
    return [f"{name}: no page links to it" for name in sorted(orphans)]


def repository_address(source):
    config = yaml.safe_load((Path(source) / "_config.yml").read_text("utf-8"))
    return config["repository"]["url"]


def button_problems(page, repository, source, root):
    for link in page.find_all("a", href=True):
        path = repository_path(link["href"], repository)
        if path is None:
            continue
        if opens_assignments(link["href"], repository):
            if not (root / "assignments" / path).is_file():
                yield (f"button opens {path} of the branch assignments, which is not "
                       f"in the site's folder assignments: {link['href']}")
        elif not (source / path).is_file():
            yield f"button opens {path}, which is not in the repository: {link['href']}"
        elif "colab" in urlsplit(link["href"]).netloc and not path.endswith(".ipynb"):
            yield f"Colab opens notebooks only, not {path}: {link['href']}"


def opens_assignments(url, repository):
    """Whether a button opens the branch that holds the site's folder `assignments`."""
    parts = urlsplit(url)
    ours = urlsplit(repository).path.strip("/")
    branch = parse_qs(parts.query).get("branch", [""])[0]
    return branch == "assignments" or re.match(
        rf"/(?:github/)?{re.escape(ours)}/(?:blob|raw|tree)/assignments/",
        unquote(parts.path),
    ) is not None


def repository_path(url, repository):
    """The file of our `repository` that a button's `url` opens, or None."""
    parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
    ours = urlsplit(repository).path.strip("/")
    opens = rf"/(?:github/)?{re.escape(ours)}/(?:blob|edit|raw|tree)/[^/]+/(.+)"
    if match := re.fullmatch(opens, unquote(parts.path)):
        return match[1]
    before, tree, path = query.get("urlpath", [""])[0].partition("tree/")
    if tree and repository in query.get("repo", []):  # JupyterHub, through nbgitpuller
        return path.removeprefix(posixpath.basename(ours) + "/")
    if tree and f"/gh/{ours}/" in parts.path:  # Binder
        return path
    return None


if __name__ == "__main__":
    raise SystemExit(main())
