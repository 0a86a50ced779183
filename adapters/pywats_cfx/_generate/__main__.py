"""Write the modules of `pywats_cfx.messages`: `python -m pywats_cfx._generate`."""

from __future__ import annotations

import sys
from pathlib import Path

from pywats_cfx._generate.render import render_all
from pywats_cfx._generate.schema import Schema

HERE = Path(__file__).parent
MESSAGES = HERE.parent / "messages"


def main() -> int:
    """Write every module that has changed."""
    written = 0
    for name, text in render_all(Schema(HERE / "schema.json")).items():
        path = MESSAGES / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            written += 1
    sys.stdout.write(f"{written} modules written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
