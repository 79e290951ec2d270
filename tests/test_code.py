import pytest

from mlrepro.provenance import code_digest, code_digests

SOURCE = (
    '"""A module."""\n\nimport os\n\n\ndef f(a):\n    """Doubles."""\n    return 2 * a  # twice\n'
)


@pytest.mark.parametrize(
    ("change", "acts"),
    [
        (("A module.", "Of two."), False),
        (("Doubles.", "2 a"), False),
        (('    """Doubles."""\n', ""), False),
        (("  # twice", ""), False),
        (("import os\n\n", "import os\n\n\n"), False),
        (("2 * a", "(2 *\n        a)"), False),
        (("2 * a", "2 + a"), True),
        (("2 * a", '"2 * a"'), True),
        (("import os", "import sys"), True),
        (("f(a)", "f(a, b=1)"), True),
    ],
)
def test_what_acts_counts(tmp_path, change, acts):
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    before = code_digest(path)
    assert SOURCE.replace(*change) != SOURCE
    path.write_text(SOURCE.replace(*change))
    assert (code_digest(path) != before) == acts


def test_folders_are_looked_through(tmp_path):
    for name in ("b/c.py", "b/d/e.py", "a.py", "b/no.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(SOURCE)
    digests = code_digests([tmp_path / "b", tmp_path / "a.py"], tmp_path)
    assert [*digests] == ["a.py", "b/c.py", "b/d/e.py"] and len({*digests.values()}) == 1
