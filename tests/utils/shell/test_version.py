"""The version, and the tree it stands in."""

import tomllib

from tests.places import ROOT as HERE
from utils.root import ROOT
from utils.shell.version import version


def test_the_tree_is_the_one_that_is_tested():
    assert HERE == ROOT


def test_the_version_is_the_projects():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == version()
