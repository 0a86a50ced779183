"""The project's files name no machine's paths and no host of a package registry."""

from __future__ import annotations

import re

from support.house import ROOT, text_files

# In pieces, so that this file may name them.
HOSTS = (
    "pypi" + r"\.org",
    "pythonhosted" + r"\.org",
    "npmjs" + r"\.(org|com)",
    "deb" + r"\.debian\.org",
    "anaconda" + r"\.org",
)
PATHS = (
    "/ro" + "ot/",
    "/wo" + "rk/",
    "/ho" + r"me/\w",
    "/Us" + r"ers/\w",
    r"[A-Z]:\\+Us" + "ers",
    "/opt/py" + "pi",
)
FORBIDDEN = re.compile("|".join(f"(?:{pattern})" for pattern in HOSTS + PATHS))


def test_no_file_names_a_path_of_a_machine_or_a_package_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert found == []


def test_every_text_file_is_utf8_without_carriage_returns() -> None:
    assert [str(path.relative_to(ROOT)) for path in text_files() if b"\r" in path.read_bytes()] == []
