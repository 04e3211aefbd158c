"""A server for the built site and a browser to read it with.

    pytest tests/site [--html-dir _build/html]

The browser is the system's Chromium (or the one that the variable CHROMIUM names):
Playwright drives it, but downloads nothing.
"""

import functools
import http.server
import os
import re
import shutil
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]

# Without a sandbox, because containers run as root; without Chromium's own traffic;
# and no page reaches another host, whatever it asks for.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def pytest_addoption(parser):
    parser.addoption(
        "--html-dir", default=ROOT / "_build/html", type=Path, help="the built site"
    )


def pytest_generate_tests(metafunc):
    if "path" in metafunc.fixturenames:
        metafunc.parametrize("path", page_paths(metafunc.config.option.html_dir))


def page_paths(html_dir):
    pages = (path.relative_to(html_dir) for path in html_dir.rglob("*.html"))
    paths = sorted(page.as_posix() for page in pages if page.parts[0][0] != "_")
    if not paths:
        raise pytest.UsageError(f"{html_dir} holds no page; run `make book` first")
    return paths


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def serve():
    """A function that serves a folder on a free port and returns its address."""
    servers = []

    def start(folder):
        handler = functools.partial(QuietHandler, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def site(serve, pytestconfig):
    """The address of the built site."""
    return serve(pytestconfig.option.html_dir)


@pytest.fixture(scope="session")
def pages_with(pytestconfig):
    """A function from a pattern to the pages whose HTML has it; there must be some."""

    def find(pattern):
        html_dir = pytestconfig.option.html_dir
        paths = [
            path
            for path in page_paths(html_dir)
            if re.search(pattern, (html_dir / path).read_text("utf-8"))
        ]
        assert paths, f"no page of the book matches {pattern}"
        return paths

    return find


@pytest.fixture(scope="session")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, names)]
    program = next(filter(None, found), None)
    if program is None:
        pytest.fail(
            "No Chromium on PATH: install it (`apt install chromium`) or name the "
            "program in the variable CHROMIUM.",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tab(browser):
    """A function from width and colour scheme to a page, kept for the next caller."""
    return functools.cache(
        lambda width, scheme: browser.new_context(**look(width, scheme)).new_page()
    )


@pytest.fixture
def new_page(browser):
    """A function that opens a page with storage of its own, closed after the test."""
    contexts = []

    def open_page(width=1280, scheme="light"):
        contexts.append(browser.new_context(**look(width, scheme)))
        return contexts[-1].new_page()

    yield open_page
    for context in contexts:
        context.close()


def look(width, scheme):
    return {
        "viewport": {"width": width, "height": 800},
        "color_scheme": scheme,
        "reduced_motion": "reduce",
    }
