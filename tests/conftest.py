"""What all tests have in common: how hypothesis searches."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: a busy machine is no fault of the code. CI repeats the same examples, so that a red run is the
# change's doing; everywhere else each run tries new ones.
settings.register_profile("here", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")
