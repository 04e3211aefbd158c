"""What several files say agrees, and everything that we ask for is pinned."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
PINS = dict(
    line.split("==") for line in (ROOT / "requirements.txt").read_text().splitlines()
    if "==" in line
)


def normal(name):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


@pytest.mark.parametrize(
    "name", ["README.md", "CITATION.cff", "index.md", "pyproject.toml"]
)
def test_the_repository_has_one_address(name):
    found = re.findall(r"https://github\.com/[\w-]+/[\w-]+", (ROOT / name).read_text())
    assert found and set(found) == {CONFIG["repository"]["url"]}


@pytest.mark.parametrize("name", ["README.md", "CITATION.cff"])
def test_the_site_has_one_address(name):
    assert CONFIG["html"]["baseurl"] in (ROOT / name).read_text()


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_everything_asked_for_is_pinned():
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["torch"], *extras["book"]]
    pinned = {normal(name) for name in PINS}
    missing = {normal(name) for name in asked} - pinned - {"relubook"}
    assert not missing, f"requirements.txt does not pin {missing}: run `make pins`"


def test_nothing_is_fetched_from_an_address_of_ours():
    assert "://" not in (ROOT / "requirements.txt").read_text()
    lock = json.loads((ROOT / "_ext/package-lock.json").read_text())
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]


def test_jupyter_book_stays_below_2():
    assert int(PINS["jupyter-book"].split(".")[0]) < 2
