"""The course's assignments are sound, every variant of them."""

from pathlib import Path

import pytest

from relubook.grading import assignments, checking

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = [(name, term) for name in assignments.names(ROOT)
            for term in assignments.variants(name, ROOT)]


@pytest.mark.parametrize(("name", "term"), VARIANTS)
def test_an_assignment_is_sound(name, term):
    assert checking.check(name, root=ROOT, variants=[term], jobs=1, quick=True) == []
