"""Without python-qpid-proton the import says what to install."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
sys.modules["proton"] = None
try:
    import pywats_cfx.amqp1
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_without_proton_the_import_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("ProtonMissing AMQP 1.0 needs the package python-qpid-proton")
    assert 'pip install "pywats-events[cfx]"' in done.stdout
