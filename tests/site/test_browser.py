"""Every page of the built site in Chromium: wide and narrow, light and dark."""

import itertools
import re
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

CHECKS = Path(__file__).with_name("checks.js")
AXE = Path(__file__).parents[2] / "_ext/node_modules/axe-core/axe.min.js"
CONTRAST = 4.5  # WCAG 2.1, level AA
expect.set_options(timeout=15_000)  # milliseconds; a busy machine is slow


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page(tab, site, path, width, scheme):
    found = faults(tab(width, scheme), site + path, scheme)
    assert not found, "\n".join([f"{path} ({width} px, {scheme}):", *found])


BROKEN = """<!DOCTYPE html>
<html data-theme="dark" style="background: black"><title>Broken</title><body>
<article style="background: white"><p style="color: #bbb">Pale.</p></article>
<div class="wide" style="width: 900px">Wide</div>
<div class="box" style="overflow: auto">
<div class="katex katex-html" style="width: 99em">maths</div></div>
<span class="math">\\max</span> <span class="katex-error" title="bad">x</span>
<span class="math"><span class="katex katex-html" style="font-size: 0">x</span></span>
<div class="math" id="numbered" style="position: relative">
<span class="eqno" style="position: absolute; left: 0">(1)</span>
<span class="katex katex-html"><span class="base">x + y</span></span></div>
<img src="gone.png"> <img src="https://example.org/dot.png">
<script>console.error("loud"); setTimeout(() => { throw Error("thrown") })</script>
"""
BROKEN_FAULTS = [
    "console: loud",
    "exception: thrown",
    "request to another host: https://example.org/dot.png",
    "404: http://127.0.0.1",
    "image not shown: http://127.0.0.1",
    "KaTeX error: bad",
    "maths not rendered: \\max",
    "maths without size: x",
    "the equation's number stands on it: numbered",
    "no font of KaTeX",
    "overflows by 518 px: div.wide\n",  # what a box scrolls is not to blame
    "data-theme is dark, wanted light",
    "the background's luminance is 0.00 in light",
    "contrast 1.92 of p: Pale.",
    "axe color-contrast (serious): ",
    "axe scrollable-region-focusable (serious): Scrollable region must have keyboard "
    "access: .box",
]


def test_page_can_fail(new_page, serve, tmp_path):
    (tmp_path / "index.html").write_text(BROKEN)
    found = "\n".join(faults(new_page(390), serve(tmp_path), "light"))
    assert [fault for fault in BROKEN_FAULTS if fault not in found] == []


def faults(page, url, scheme):
    """What is wrong with the page at `url`, opened in `page`: a list of sentences."""
    assert AXE.exists(), "axe-core is missing: `npm ci` in _ext/ installs it"
    with listening(page, urlsplit(url).netloc) as found:
        page.goto(url)
        page.add_script_tag(path=CHECKS)
        found += page.evaluate("checks.images()")  # waits for what loads late
        found += page.evaluate("checks.maths()")
        found += page.evaluate("checks.overflow()")
        found += page.evaluate("args => checks.theme(...args)", [scheme, CONTRAST])
        if scheme == "light":  # in the dark only colours differ: checks.theme
            page.add_script_tag(path=AXE)
            found += page.evaluate("checks.axe()")
    return found


@contextmanager
def listening(page, host):
    """A list that grows by each error and each stray request of `page`."""
    found = []

    def on_request(request):
        url = urlsplit(request.url)
        if url.netloc != host and url.scheme not in ("data", "blob"):
            found.append(f"request to another host: {request.url}")

    def on_response(response):
        if response.status >= 400:
            found.append(f"{response.status}: {response.url}")

    def on_console(message):
        if message.type == "error":
            found.append(f"console: {message.text}")

    def on_pageerror(error):
        found.append(f"exception: {error.message}")

    listeners = {
        "request": on_request,
        "response": on_response,
        "console": on_console,
        "pageerror": on_pageerror,
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    try:
        yield found
    finally:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)


@pytest.mark.parametrize("page_path", ["index.html", "search.html"])
def test_the_first_tab_offers_to_skip_to_the_content(new_page, site, page_path):
    page = new_page()
    page.goto(site + page_path)
    page.evaluate("document.activeElement.blur()")  # the search page focuses its field
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_attribute("href", "#main-content")
    expect(focused).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#main-content$"))


def test_predictions_answer_the_keyboard(new_page, site, pages_with):
    page = new_page()
    for path in pages_with(r'class="[^"]*\bpredict\b'):
        page.goto(site + path)
        for question in page.locator(".predict:has(input)").all():
            shown = question.get_by_role("status").filter(visible=True, has_text=".")
            choices = question.get_by_role("radio").all()
            assert len(choices) >= 2
            expect(shown).to_have_count(0)
            choices[0].focus()
            page.keyboard.press("Space")
            expect(choices[0]).to_be_checked()
            expect(shown).to_have_count(1)
            first = shown.inner_text()
            page.keyboard.press("ArrowDown")
            expect(choices[1]).to_be_checked()
            expect(shown).to_have_count(1)
            assert shown.inner_text() != first


def test_solutions_open(new_page, site, pages_with):
    page = new_page(390)
    ways = itertools.cycle(["click", "Enter", "Space"])
    for path in pages_with(r'class="[^"]*\bsolution\b'):
        page.goto(site + path)
        for solution in page.locator(".solution").all():
            body = solution.locator("section, .solution-content").first
            switch = solution.locator("summary, button.toggle-button").first
            expect(body).to_be_hidden()
            if (way := next(ways)) == "click":
                switch.click()
            else:
                switch.press(way)
            expect(body).to_be_visible()


def test_search_finds_without_a_network(new_page, site):
    page = new_page()
    with listening(page, urlsplit(site).netloc) as found:
        page.goto(site + "search.html?q=relu")
        page.locator("#search-results li a").first.click()
        expect(page).not_to_have_url(re.compile("search.html"))
        expect(page.locator("h1").filter(visible=True)).to_have_count(1)
    assert found == []


def test_search_button_opens_a_dialog_that_searches(new_page, site):
    page = new_page(390)
    page.goto(site)
    page.locator(".search-button").filter(visible=True).first.click()
    field = page.locator("dialog[open] input[type=search]")
    expect(field).to_be_focused()
    field.fill("relu")
    field.press("Enter")
    expect(page).to_have_url(re.compile(r"search\.html\?q=relu"))
    expect(page.locator("#search-results li a").first).to_be_visible()


def test_theme_switch_changes_and_remembers_the_theme(new_page, site):
    page = new_page()
    page.goto(site)
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    switch = page.locator(".theme-switch-button").filter(visible=True).first
    switch.focus()
    for _ in range(3):  # light, dark, as the system has it
        if root.get_attribute("data-theme") == "dark":
            break
        switch.press("Enter")
    expect(root).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(root).to_have_attribute("data-theme", "dark")
