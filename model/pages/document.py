"""A page as a value, and the two ways it is laid out: Markdown, and HTML that needs nothing beside itself.

What users named is escaped here and nowhere else. The HTML has no script and asks no network; it follows the reader's
light or dark theme, and prints.
"""

from __future__ import annotations

import html as escaping
import re
from dataclasses import dataclass
from typing import TypeAlias

#: What Markdown would read as a sign of its own, and not as a text.
SIGNS = re.compile(r"([\\`*\[\]|])")

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2126;--dim:#5d6770;--rule:#dfe3e8;--shade:#f5f7f9;
--a:#0072b2;--b:#d55e00;--c:#7a7f85;--good:#00795a;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--paper:#15181b;--ink:#e4e7ea;--dim:#9aa4ad;--rule:#30363c;--shade:#1d2226;
--a:#56b4e9;--b:#f0883e;--c:#8e969e;--good:#3fc79a;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:56rem;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 1rem}
h2{font-size:1.2rem;margin:2.6rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--rule)}
p{margin:.6rem 0;max-width:46rem}
.verdict{margin:1rem 0;padding:.8rem 1rem;border-left:5px solid var(--bad);background:var(--shade)}
.verdict.opens{border-color:var(--good)}
.verdict strong{display:block;font-size:1.1rem;overflow-wrap:anywhere}
nav{font-size:.88rem;color:var(--dim);margin:1rem 0}
nav a{color:inherit;white-space:nowrap;margin-right:.9rem}
.scroll{overflow-x:auto;margin:.9rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--dim);padding:0 0 .35rem;font-size:.88rem}
th,td{padding:.28rem .75rem;text-align:right;border-bottom:1px solid var(--rule);vertical-align:top;white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0;white-space:normal;min-width:9rem}
thead th{color:var(--dim);font-weight:600;border-bottom:2px solid var(--rule);vertical-align:bottom}
table.words td,table.words th{text-align:left;white-space:normal}
details{margin:.8rem 0}
summary{cursor:pointer;color:var(--dim);font-size:.9rem}
figure{margin:1.1rem 0}
figcaption{font-size:.88rem;color:var(--dim);max-width:46rem}
svg{display:block;width:100%;height:auto;font:11px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
svg text{fill:var(--ink)}svg .dim{fill:var(--dim)}svg .title{font-weight:600}
svg .axis{stroke:var(--dim);stroke-width:1;fill:none}svg .grid{stroke:var(--rule);stroke-width:1;fill:none}
svg .even{stroke:var(--dim);stroke-width:1;stroke-dasharray:4 3;fill:none}
svg .line{fill:none;stroke-width:1.8;stroke-linejoin:round}svg .thin{fill:none;stroke-width:1.4}
svg .la{stroke:var(--a)}svg .lb{stroke:var(--b)}svg .lc{stroke:var(--c)}
svg .fa{fill:var(--a)}svg .fb{fill:var(--b)}svg .fc{fill:var(--c)}
@media print{:root{--paper:#fff;--ink:#000;--dim:#444;--rule:#ccc;--shade:#f4f4f4;--a:#0072b2;--b:#d55e00;--c:#777;
--good:#00795a;--bad:#b3261e}body{max-width:none;padding:0;font-size:10.5pt}nav{display:none}
h2{break-after:avoid}figure,tr,.verdict{break-inside:avoid}.scroll{overflow:visible}}
"""


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; the first column says what a row is, numbers stand to the right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    words: bool = False  # cells are words, and stand to the left


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing of ours, which only HTML shows: what it shows stands in a table, too, or in its words."""

    svg: str
    words: str


@dataclass(frozen=True, slots=True)
class Folded:
    """A table for those who ask."""

    title: str
    grid: Grid


Block: TypeAlias = Words | Grid | Picture | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below one heading."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A page: what it concludes stands first."""

    title: str
    verdict: str
    opens: bool
    meaning: str  # of the verdict
    sections: tuple[Section, ...]


def markdown(page: Document) -> str:
    """The page in Markdown, its tables aligned in the source, too; pictures are left out."""
    lines = [f"# {_marked(page.title)}", "", f"**{_marked(page.verdict)}**", "", _marked(page.meaning), ""]
    for section in page.sections:
        lines += [f"## {_marked(section.title)}", ""]
        for block in section.blocks:
            if isinstance(block, Words):
                lines += [_marked(block.text), ""]
            elif isinstance(block, Folded):
                lines += [f"{_marked(block.title)}:", "", *_table(block.grid), ""]
            elif isinstance(block, Grid):
                lines += [*([f"{_marked(block.caption)}:", ""] if block.caption else []), *_table(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def html(page: Document) -> str:
    """The page in HTML, whole: styles and pictures stand in it."""
    links = "".join(
        f'<a href="#s{number}">{_text(section.title)}</a> ' for number, section in enumerate(page.sections, 1)
    )
    sections = "".join(
        f'<section id="s{number}"><h2>{_text(section.title)}</h2>{"".join(map(_block, section.blocks))}</section>\n'
        for number, section in enumerate(page.sections, 1)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{_text(page.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{_text(page.title)}</h1>\n"
        f'<div class="verdict{" opens" if page.opens else ""}"><strong>{_text(page.verdict)}</strong>'
        f"{_text(page.meaning)}</div>\n<nav>{links}</nav>\n{sections}</main>\n</body>\n</html>\n"
    )


def _marked(text: str) -> str:
    """A text in Markdown: in one line, and nothing in it a sign."""
    line = " ".join(text.split())
    return SIGNS.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))


def _table(grid: Grid) -> list[str]:
    """The lines of a table."""
    cells = [[_marked(cell) for cell in row] for row in (grid.heads, *grid.rows)]
    widths = [max(3, *(len(row[k]) for row in cells)) for k in range(len(grid.heads))]
    left = [k == 0 or grid.words for k in range(len(widths))]
    lines = [
        [
            cell.ljust(width) if start else cell.rjust(width)
            for cell, width, start in zip(row, widths, left, strict=True)
        ]
        for row in cells
    ]
    rule = ["-" * width if start else "-" * (width - 1) + ":" for width, start in zip(widths, left, strict=True)]
    return [f"| {' | '.join(row)} |" for row in (lines[0], rule, *lines[1:])]


def _text(text: str) -> str:
    """A text in HTML."""
    return escaping.escape(" ".join(text.split()))


def _block(block: Block) -> str:
    if isinstance(block, Words):
        return f"<p>{_text(block.text)}</p>\n"
    if isinstance(block, Picture):
        words = f"<figcaption>{_text(block.words)}</figcaption>" if block.words else ""
        return f"<figure>{block.svg}{words}</figure>\n"
    if isinstance(block, Folded):
        return f"<details><summary>{_text(block.title)}</summary>{_block(block.grid)}</details>\n"
    caption = f"<caption>{_text(block.caption)}</caption>" if block.caption else ""
    cells = "".join(f'<th scope="col">{_text(head)}</th>' for head in block.heads)
    heads = f"<thead><tr>{cells}</tr></thead>" if any(block.heads) else ""
    rows = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in block.rows)
    kind = ' class="words"' if block.words else ""
    return f'<div class="scroll"><table{kind}>{caption}{heads}<tbody>{rows}</tbody></table></div>\n'
