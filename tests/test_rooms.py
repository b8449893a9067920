"""The plan of the house: chapters of a size to read, few arrows between rooms, tests beside what they test."""

import re
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.plan import arrows, chapters, imports, modules

#: A chapter is read at a sitting.
MOST_FILES = 15
#: Arrows between the rooms of the two packages that had most of them.
MOST_ARROWS = {"ingest": 51, "features": 30}
#: What another package may import besides doors; a dot at the end means a chapter. The table of exchanges and the feed
#: of a live market stand inside chapters that are closed otherwise.
OPEN = (
    "utils.",
    "features.rows.",
    "features.folds.",
    "features.studies.",
    "ingest.files.",
    "ml.barriers.",
    "ml.market.",
    "ml.learning.",
    "ingest.wire.",
    "ingest.venues.known",
    "ingest.live.market",
    "ingest.live.polled",
    "exec.live.",
    "backtest.data.",
    "backtest.experiments.",
)
#: Modules without a test file of their name, and the test that covers each.
COVERED_BY = {
    "backtest/replication/plots.py": "tests/backtest/test_replicate.py",
    "backtest/run/simulation.py": "tests/backtest/test_sim_loop.py",
    "exec/step/loop.py": "tests/test_parity.py",
    "exec/step/rows.py": "tests/test_parity.py",
    "features/check_inputs.py": "tests/features/test_checks.py",
    "features/folds/book_flow.py": "tests/features/test_event_properties.py",
    "features/folds/tape_flow.py": "tests/features/test_event_properties.py",
    "features/folds/trade_flow.py": "tests/features/test_event_properties.py",
    "features/folds/undefined.py": "tests/features/test_checks.py",
    "features/folds/volatility.py": "tests/features/folds/test_technical.py",
    "features/folds/volume.py": "tests/features/folds/test_technical.py",
    "features/folds/windows.py": "tests/features/folds/test_technical.py",
    "features/registry.py": "tests/features/test_checks.py",
    "ingest/box/served/server.py": "tests/ingest/test_replay_server.py",
    "ingest/live/links.py": "tests/ingest/live/test_feed.py",
    "ingest/rest/client.py": "tests/ingest/rest/test_venue.py",
    "ingest/tape.py": "tests/ingest/tapes/test_check.py",
    "ingest/venues/binance/depth_sync.py": "tests/ingest/venues/binance/test_protocol.py",
    "ingest/venues/binance/messages.py": "tests/ingest/venues/binance/test_protocol.py",
    "ingest/venues/binance/venue.py": "tests/ingest/venues/test_known.py",
    "ingest/venues/bybit/messages.py": "tests/ingest/venues/bybit/test_protocol.py",
    "ingest/venues/bybit/venue.py": "tests/ingest/venues/test_known.py",
    "ingest/venues/facts.py": "tests/ingest/venues/test_known.py",
    "ingest/wire/core.py": "tests/ingest/venues/bybit/test_protocol.py",
    "ingest/wire/streams.py": "tests/ingest/venues/bybit/test_protocol.py",
    "utils/errors.py": "tests/test_house.py",
    "utils/http/asgi.py": "tests/utils/http/test_gate.py",
    "utils/root.py": "tests/utils/shell/test_version.py",
}


@pytest.mark.parametrize("chapter", chapters())
def test_a_chapter_holds_few_files(chapter: str) -> None:
    assert len(chapters()[chapter]) <= MOST_FILES


@pytest.mark.parametrize("chapter", [name for name in chapters() if "." in name])
def test_a_chapter_holds_more_than_one_room(chapter: str) -> None:
    assert len(chapters()[chapter]) + sum(name.startswith(f"{chapter}.") for name in chapters()) > 1


@pytest.mark.parametrize("package", MOST_ARROWS)
def test_few_arrows_run_between_the_rooms_of(package: str) -> None:
    found = arrows(package)
    assert sum(map(len, found.values())) <= MOST_ARROWS[package], found


def test_arrows_are_counted_once_a_pair_of_rooms_wherever_the_import_stands(tmp_path: Path) -> None:
    for place, text in {
        "house/__init__.py": "",
        "house/door.py": "from house.cellar import wine\nfrom house.cellar.wine import red\n",
        "house/cellar/__init__.py": "",
        "house/cellar/wine.py": "def red():\n    from house import attic\n\n    import house.cellar.beer\n",
        "house/cellar/beer.py": "",
        "house/attic.py": "import json\n",
    }.items():
        (tmp_path / place).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / place).write_text(text)
    found = {room: others for room, others in arrows("house", tmp_path).items() if others}
    assert {"house.door": {"house.cellar"}, "house.cellar": {"house.attic"}} == found
    assert {"house.cellar.wine": {"house.cellar.beer"}, "house.cellar.beer": set()} == arrows("house.cellar", tmp_path)


def test_another_package_imports_doors_and_open_chapters_alone() -> None:
    found = [
        (name, other)
        for name, others in imports().items()
        for other in others
        if name.split(".")[0] != other.split(".")[0] and other.count(".") > 1 and not other.startswith(OPEN)
    ]
    assert [] == found


def test_every_module_has_a_test_of_its_name_or_is_named_with_the_one_that_covers_it() -> None:
    without = {
        str(path.relative_to(ROOT))
        for path in modules().values()
        if not (ROOT / "tests" / path.relative_to(ROOT)).with_name(f"test_{path.name}").is_file()
    }
    assert without == set(COVERED_BY)


@pytest.mark.parametrize(("module", "test"), COVERED_BY.items())
def test_a_covering_test_reaches_its_module(module: str, test: str) -> None:
    name = module.removesuffix(".py").replace("/", ".")
    text = (ROOT / test).read_text(encoding="utf-8")
    users = {other for other, others in imports().items() if name in others} | {name}
    spoken = [rf"\b{re.escape(user)}\b" for user in users]
    spoken += [
        rf"from {re.escape(above)} import [^\n]*\b{own}\b" for above, _, own in (user.rpartition(".") for user in users)
    ]
    assert any(re.search(pattern, text) for pattern in spoken)


def mapped() -> dict[str, dict[str, bool]]:
    """What the map names, by package, and whether it is marked open; chapters end with a slash."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = page[page.index("## The map") :].split("```")[1]
    found: dict[str, dict[str, bool]] = {}
    package = ""
    for line in filter(None, block.splitlines()):
        words = line.strip().split("  ")[0].split()
        if not line.startswith(" "):
            package = words[0]
            found |= {word: {} for word in words if word != "|"}
            continue
        owner, names = (words[0][:-1], words[1:]) if words[0].endswith(":") else (package, words)
        marks = [*names[1:], ""]
        found[owner] |= {name: mark == "○" for name, mark in zip(names, marks, strict=True) if name != "○"}
    return found


@pytest.mark.parametrize("package", [name for name in chapters() if "." not in name])
def test_the_map_names_every_door_and_every_chapter_and_nothing_else(package: str) -> None:
    doors = {path.stem for path in chapters()[package]}
    rooms = {f"{name.split('.')[1]}/" for name in chapters() if name.startswith(f"{package}.")}
    assert doors | rooms == set(mapped()[package])


def test_the_map_marks_what_is_open() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    marked = {f"{package}.{room[:-1]}." for package, rooms in mapped().items() for room in rooms if rooms[room]}
    there = {f"{name}." for name in chapters() if name.count(".") == 1}
    assert {name for name in there if name.startswith(OPEN)} == marked
    assert [] == [name for name in OPEN if not name.endswith(".") and f"{name.split('.')[-1]}.py (open)" not in page]


def looked_up() -> list[tuple[str, str]]:
    """(name, file) for each name that the page says stands in a file."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page[page.index("## Where to look") : page.index("## Where to add things")]
    return [
        (name, place)
        for names, place in re.findall(r"((?:`\w+`(?: and | by )?)+)[^`|]* in (?:`?)(\w+(?:/\w+)*\.py)`", table)
        for name in re.findall(r"`(\w+)`", names)
    ]


def test_every_name_of_the_look_up_table_stands_in_its_file() -> None:
    assert len(looked_up()) > 12
    missing = [
        (name, place)
        for name, place in looked_up()
        if not re.search(rf"(?m)^\s*(?:def |class )?{name}\b", (ROOT / place).read_text(encoding="utf-8"))
    ]
    assert [] == missing


def test_every_path_of_the_architecture_page_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([\w.]+(?:/[\w.]*)+)`", page)
    assert len(paths) > 30
    assert [] == [path for path in paths if not (ROOT / path).exists()]
