"""Where the tests find this tree, and the recordings beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: A stranger's clone has no such folder: tests that need it skip, and say so.
SHARED = ROOT.parent / "shared"
DATA = SHARED / "data"
RECORDINGS = DATA / "l2"
