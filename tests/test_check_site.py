"""Each rule of tools/check_site.py on the smallest page that breaks it."""

import pytest

from tools.check_site import css_urls, main, problems, repository_path

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
  <title>A page</title>
  <meta name="description" content="What it is about.">
  <link rel="icon" href="{root}_static/dot.svg">
  <link rel="stylesheet" href="{root}_static/book.css">
  <link rel="canonical" href="https://example.org/book/page.html">
  <meta property="og:image" content="https://example.org/cover.png">
  {head}
</head>
<body>
  <div class="onlyprint"><h1>A page</h1></div>
  <h1 id="a-page">A page</h1>
  <a href="{root}chapters/index.html">All</a> <a href="{root}chapters/one.html">1</a>
  <script src="{root}_static/book.js"></script>
  {body}
</body>
</html>
"""

FINE = """
  <a class="current" href="#">A page</a> <a href="" role="button">Fold</a>
  <a href="https://example.org">elsewhere</a> <a href="mailto:a@example.org">mail</a>
  <a href="chapters/one.html#caf%C3%A9">anchor</a> <a href="#a-page">itself</a>
  <a href="#top">up</a> <a href="chapters">folder</a> <a href="#named">a name</a>
  <a href="_sources/index.md" download>source</a> <a name="named"></a>
  <a href="search.html?q=relu&amp;page=1">query</a>
  <img src="_images/a%20plot.png" alt="ReLU is 0 left of 0, then a line of slope 1.">
  <img src="_static/dot.svg" alt="" role="presentation">
  <img src="_static/dot.svg" alt="A dot." role="img">
  <a href="chapters/one.html"><img src="_static/dot.svg" alt=""> The book</a>
  <span aria-hidden="true"><img src="_static/dot.svg" alt=""><svg></svg></span>
  <img src="data:image/png;base64,AAAA" srcset="_images/a%20plot.png 2x" alt="A dot.">
  <svg role="img"><title>The logo</title><use href="#a-page"></use></svg>
  <svg role="img" aria-label="The logo"></svg>
  <p style="background: url('_static/dot.svg')">Costs $5, set {a}, f(z) = z.</p>
  <p>Write <code>{ref}`x`</code>, <code>:::{note}</code> or <code>\\relu</code>.</p>
  <pre>:::{note} \\operatorname
</pre>
  <span class="katex"><annotation>\\max(0, z)</annotation></span>
  <script>const page = "https://example.org/about", svg = "http://www.w3.org/2000/svg";
  // see https://cdn.example.org/x.js, import nothing</script>
  <script type="application/ld+json">{"image": "https://example.org/a.png"}</script>
  <div class="cell tag_raises-exception"><div class="cell_output">
    <pre>Traceback (most recent call last)</pre></div></div>
"""


@pytest.fixture
def site(tmp_path):
    """A function that writes a clean site, changed as told, and returns its folder."""
    generated = PAGE.format(root="", head="", body="").replace("description", "")
    files = {
        "_static/dot.svg": "<svg/>",
        "_static/book.css": '/* url(gone) */ @import "sub/more.css"; a { color: red }',
        "_static/sub/more.css": "a { background: url(../dot.svg) }",
        "_static/book.js": "const help = 'https://example.org/help.html'",
        "_static/webpack-macros.html": "<p>not a page</p>",
        "_images/a plot.png": "",
        "_sources/index.md": "",
        "search.html": generated,
        "chapters/one.html": PAGE.format(root="../", head="", body="<p id='café'>"),
        "chapters/index.html": PAGE.format(root="../", head="", body=""),
    }

    def write(body="", head="", page=PAGE, **changed):
        built = {"index.html": page.format(root="", head=head, body=body)}
        for name, text in {**files, **built, **changed.pop("files", {})}.items():
            path = tmp_path / "html" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "html"

    return write


def test_clean_site_passes(site, capsys):
    assert problems(site(FINE)) == []
    assert main([str(site(FINE))]) == 0
    assert capsys.readouterr().out.startswith("4 pages: no external resource")


# The problem that each fragment of a page's body is to be found guilty of, alone.
FAULTS = {
    "external resource in <script>": [
        '<script src="https://cdn.e.org/x.js"></script>',
        '<script src="//cdn.e.org/x.js"></script>',
    ],
    "external resource in <img>: https://e.org/a.png": [
        '<img src="https://e.org/a.png" alt="A dot.">',
        '<img srcset="_static/dot.svg 1x, https://e.org/a.png 2x" alt="A dot.">',
    ],
    "external resource in <": [
        '<picture><source srcset="https://e.org/a.png"></picture>',
        '<iframe title="A film" src="https://e.org/"></iframe>',
        '<video poster="https://e.org/a.png"></video>',
        '<object data="https://e.org/a.svg"></object>',
        '<svg role="img" aria-label="A dot."><use href="https://e.org/a"/></svg>',
    ],
    "external resource in css: ": [
        '<p style="background:url(https://e.org/a.png)">',
        "<style>@import 'https://e.org/a.css';</style>",
        "<style>@import url(https://e.org/a.css);</style>",
        "<style>@media print { a { b: url('//e.org/a') } }</style>",
    ],
    "external resource in a script: https://": [
        "<script>load('https://e.org/lib.js')</script>",
        "<script>load(`https://cdn.e.org/x@${v}`)</script>",
        "<script>load('https://cdn.e.org[' + i)</script>",
        "<script>fetch('https://e.org/a')</script>",
        '<script type="module">import a from "https://e.org/a"</script>',
    ],
    "broken resource in <script>: gone.js?v=1 (no such file)": [
        '<script src="gone.js?v=1"></script>'
    ],
    "broken link: gone.html (no such file)": ['<a href="gone.html">x</a>'],
    "broken link: gone.ipynb (no such file)": ['<a href="gone.ipynb" download>x</a>'],
    "broken link: ../x.html (it leaves the book)": ['<a href="../x.html">x</a>'],
    "broken link: /index.html (it starts at the host's root": [
        '<a href="/index.html">x</a>'
    ],
    "#gone (no such anchor)": [
        '<a href="#gone">x</a>',
        '<i name="gone"><a href="#gone">x</a></i>',
        '<a href="chapters/one.html#gone">x</a>',
        '<a href="chapters#gone">x</a>',
    ],
    "link to nowhere: '#' of 'x'": ['<a href="#">x</a>'],
    "link to the machine that built the book: ": [
        '<a href="file:///home/me/x.html">x</a>',
        '<a href="http://localhost:8000/">x</a>',
    ],
    "image without alt text: _static/dot.svg": [
        '<img src="_static/dot.svg">',
        '<img src="_static/dot.svg" role="presentation">',
        '<img src="_static/dot.svg" alt="">',
        '<img src="_static/dot.svg" alt=" " aria-hidden="true">',
        '<a href="search.html"><img src="_static/dot.svg" alt=""></a>',
    ],
    "image whose alt text says nothing: ": [
        '<img src="_static/dot.svg" alt="_static/dot.svg">',
        '<img src="_static/dot.svg" alt="dot">',
        '<img src="_static/dot.svg" alt="Figure">',
        '<img src="_static/dot.svg" alt="../_images/1.png">',
        '<img src="_static/dot.svg" alt="<Figure size 640x480 with 1 Axes>">',
    ],
    "drawing without a name or role=img: <": [
        '<svg viewBox="0 0 1 1"></svg>',
        '<svg role="img"></svg>',
        '<svg role="img"><title> </title></svg>',
        '<div role="img"></div>',
    ],
    "frame without a title: search.html": ['<iframe src="search.html"></iframe>'],
    "duplicate id: 'a' on 2 elements (i, p)": ['<p id="a"></p><i id="a"></i>'],
    "KaTeX error: ParseError: x": [
        '<span class="katex-error" title="ParseError: x">\\x</span>'
    ],
    "Sphinx error: Unknown": ['<p class="system-message">Unknown role</p>'],
    "a MyST role was not rendered: ": [
        "<p>See {ref}`a`.</p>",
        "<p>See {glue:text}<code>a:.2f</code>.</p>",
    ],
    "a MyST directive was not rendered: ": [
        "<p>:::{note} A</p>",
        "<p>\n:::\n</p>",
        "<p>```{note}\n</p>",
    ],
    "a MyST label was not rendered: ": ["<p>\n(eq-relu)=\n</p>"],
    "LaTeX was not rendered: ": ["<p>where \\operatorname{ReLU}</p>", "<p>$$ x $$</p>"],
    "a cell ends in the text of a figure": [
        '<pre class="cell_output">&lt;Figure size 640x480 with 1 Axes&gt;</pre>'
    ],
    "a cell shows an object's address": [
        '<pre class="cell_output">[&lt;Line2D at 0x7f52ab12&gt;]</pre>'
    ],
    "a cell failed; ": [
        '<p class="cell_output">Traceback (most recent call last)</p>'
    ],
    "2 <h1>, wanted one": ["<h1>Another</h1>"],
}


@pytest.mark.parametrize(
    ("problem", "body"),
    [(problem, body) for problem, bodies in FAULTS.items() for body in bodies],
)
def test_each_fault_in_a_body_is_found_alone(site, problem, body):
    (found,) = problems(site(body))
    assert found.startswith("index.html: ")
    assert problem in found


@pytest.mark.parametrize("rel", ["stylesheet", "icon", "preload", "preconnect"])
def test_links_that_load_are_resources(site, rel):
    (found,) = problems(site(head=f'<link rel="{rel}" href="https://e.org/x">'))
    assert found == "index.html: external resource in <link>: https://e.org/x"


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (' lang="en"', "<html> has no lang"),
        ("<title>A page</title>", "no <title>"),
        ('name="description"', "no meta description"),
        ('<link rel="icon" href="{root}_static/dot.svg">', "no favicon"),
        ('<h1 id="a-page">A page</h1>', "0 <h1>, wanted one"),
    ],
)
def test_missing_parts_of_a_page_are_found(site, part, problem):
    assert part in PAGE
    found = problems(site(page=PAGE.replace(part, "")))
    assert found == [f"index.html: {problem}"]


def test_style_sheets_and_scripts_are_read_once_and_under_their_own_name(site):
    files = {
        "_static/sub/more.css": "a { b: url(https://e.org/font), url(gone.png) }",
        "_static/book.js": "import('https://e.org/x')",
    }
    assert sorted(problems(site(files=files))) == [
        "_static/book.js: external resource in a script: https://e.org/x",
        "_static/sub/more.css: broken resource in css: gone.png (no such file)",
        "_static/sub/more.css: external resource in css: https://e.org/font",
    ]


def test_a_page_that_no_page_links_to_is_found(site):
    page = PAGE.format(root="../", head="", body="<a href='#a-page'>itself</a>")
    files = {".cache/README.html": page}
    assert problems(site(files=files)) == [".cache/README.html: no page links to it"]


def test_css_urls_sees_through_quotes_comments_and_blocks():
    css = """
    /* url(comment) */ @import "one"; @import url(two) print; @import url('three');
    @media print { @supports (a: b) { p { background: url( four ), url("fi)ve") } } }
    p::before { content: "url(six)"; mask: image-set(url(seven) 1x) }
    q { background: url("data:image/svg+xml,<svg fill='url(#a)'/>") }
    """
    *urls, data = css_urls(css)
    assert urls == ["one", "two", "three", "four", "fi)ve", "seven"]
    assert data.startswith("data:")


OURS = "https://github.com/us/book"
COLAB = "https://colab.research.google.com/github/us/book/blob/main"
HUB = "https://hub.example.org/hub/user-redirect/git-pull"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"{COLAB}/chapters/a%20b.ipynb", "chapters/a b.ipynb"),
        (f"{OURS}/edit/main/chapters/a.md", "chapters/a.md"),
        (f"{OURS}/blob/main/a.md#L3", "a.md"),
        (f"{OURS}/issues/new?title=blob/main/a.md", None),
        ("https://github.com/them/book/blob/main/a.md", None),
        (f"{HUB}?repo={OURS}&urlpath=lab/tree/book/chapters/a.ipynb&branch=main",
         "chapters/a.ipynb"),
        (f"{HUB}?repo=https%3A//github.com/us/book&urlpath=tree%2Fbook%2Fa.ipynb",
         "a.ipynb"),
        (f"{HUB}?repo=https://github.com/them/book&urlpath=tree/book/a.ipynb", None),
        ("https://mybinder.org/v2/gh/us/book/main?urlpath=lab/tree/a.ipynb", "a.ipynb"),
        ("https://mybinder.org/v2/gh/them/book/main?urlpath=lab/tree/a.ipynb", None),
        ("chapters/a.html", None),
    ],
)  # fmt: skip
def test_repository_path_of_a_button(url, path):
    assert repository_path(url, OURS) == path


def test_buttons_must_open_what_the_checkout_has(site, tmp_path):
    (tmp_path / "chapters").mkdir()
    for name in ("_config.yml", "chapters/a.md", "chapters/a.ipynb"):
        (tmp_path / name).write_text(f"repository: {{url: {OURS}}}")
    names = ("a.ipynb", "a.md", "b.ipynb")
    links = [f'<a href="{COLAB}/chapters/{name}">Colab</a>' for name in names]
    html_dir = site("".join(links))
    assert problems(html_dir) == []
    assert problems(html_dir, source=tmp_path) == [
        "index.html: Colab opens notebooks only, not chapters/a.md: "
        f"{COLAB}/chapters/a.md",
        "index.html: button opens chapters/b.ipynb, which is not in the repository: "
        f"{COLAB}/chapters/b.ipynb",
    ]


@pytest.mark.parametrize("url", [
    "https://colab.research.google.com/github/us/book/blob/assignments/{}",
    f"{HUB}?repo={OURS}&branch=assignments&urlpath=lab/tree/book/{{}}",
])
def test_buttons_must_open_what_the_branch_assignments_has(site, tmp_path, url):
    """The branch is what the site's folder `assignments` holds."""
    (tmp_path / "_config.yml").write_text(f"repository: {{url: {OURS}}}")
    names = ("a/a.ipynb", "a/b.ipynb")
    links = [f'<a href="{url.format(name)}">x</a>' for name in names]
    html_dir = site("".join(links), files={"assignments/a/a.ipynb": "{}"})
    assert problems(html_dir, source=tmp_path) == [
        "index.html: button opens a/b.ipynb of the branch assignments, which is not in "
        f"the site's folder assignments: {url.format('a/b.ipynb')}",
    ]


def test_main_prints_each_problem_and_fails(site, capsys):
    html_dir = site('<a href="gone.html">x</a><a href="gone.html">y</a>')
    assert main([str(html_dir)]) == 1
    assert capsys.readouterr().out == (
        "index.html: broken link: gone.html (no such file)\n"
    )


def test_a_folder_without_pages_is_one_clear_error(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="holds no page; run `make book`"):
        problems(tmp_path / "gone")
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path)])
    assert f"html_dir={tmp_path} holds no page" in capsys.readouterr().err
