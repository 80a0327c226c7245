"""A page of HTML that needs nothing else: no file, no script, no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .lettering import markup

__all__ = ["Html", "Section", "chip", "document", "html", "scrolling", "table"]


class Html(str):
    """Text that is HTML already; any other text means itself."""


def html(value: object) -> Html:
    """A value as it is shown."""
    return value if isinstance(value, Html) else Html(markup(value))


class Section(NamedTuple):
    """A part of a page, which the navigation leads to."""

    id: str
    heading: str
    content: Html


def document(title: str, lead: Html, sections: Sequence[Section], generator: str) -> str:
    """
    The whole page.

    Args:
        lead: What stands below the heading.
        generator: By which a program knows the page for its own.
    """
    links = "".join(f'<li><a href="#{one.id}">{html(one.heading)}</a></li>' for one in sections)
    parts = "\n".join(
        f'<section id="{one.id}" aria-labelledby="{one.id}-heading">'
        f'<h2 id="{one.id}-heading">{html(one.heading)}</h2>\n{one.content}</section>'
        for one in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="{html(generator)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{html(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{html(title)}</h1>
{lead}
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="content" tabindex="-1">
{parts}
</main>
</body>
</html>
"""


def table(
    id_: str,
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[int] = (),
    foot: Sequence[object] = (),
) -> Html:
    """
    A table whose first column names its rows; where it is too wide, it is moved within its frame.

    Args:
        numbers: The columns that are set to the right.
        foot: The last row, with the sums.
    """

    def cell(place: int, value: object, name: str, more: str = "") -> str:
        number = ' class="number"' if place in numbers else ""
        return f"<{name}{more}{number}>{html(value)}</{name}>"

    def row(values: Sequence[object]) -> str:
        first = cell(0, values[0], "th", ' scope="row"')
        return f"<tr>{first}{''.join(cell(place, value, 'td') for place, value in enumerate(values) if place)}</tr>"

    head = "".join(cell(place, heading, "th", ' scope="col"') for place, heading in enumerate(headings))
    body = "\n".join(map(row, rows))
    below = f"<tfoot>{row(foot)}</tfoot>" if foot else ""
    return scrolling(
        f'<table><caption id="{id_}">{html(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>{below}</table>",
        f'aria-labelledby="{id_}"',
    )


def scrolling(content: str, named: str) -> Html:
    """
    A frame in which something wide is moved, by the keyboard as well.

    Args:
        named: The attribute that tells its name.
    """
    return Html(f'<div class="scroll" role="region" tabindex="0" {named}>{content}</div>')


def chip(word: str, kind: str) -> Html:
    """A word that is seen at once: "good", "bad" or "note"."""
    return Html(f'<span class="chip {kind}">{html(word)}</span>')


_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ground:#f5f7fa;--ink:#17202b;--dim:#56616f;--rule:#cfd7e0;--link:#1d5fa8;
--good:#1a6b32;--good-ground:#d7f3dd;--bad:#a3211a;--bad-ground:#fde0dd;--note:#7a5200;--note-ground:#fdeec3;
--bar:#8fb4dd}
@media (prefers-color-scheme: dark){:root{--paper:#10151c;--ground:#161d26;--ink:#e7ecf2;--dim:#a3afbd;--rule:#34404d;
--link:#8ec1f7;--good:#6fdc8c;--good-ground:#14391f;--bad:#ff9b94;--bad-ground:#4a1a1c;--note:#f0c661;
--note-ground:#40300a;--bar:#33557c}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.5;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
header,nav,main{max-width:90rem;margin:0 auto;padding:0 clamp(1rem,3vw,2.5rem)}
header{padding-top:1.5rem}
h1{font-size:clamp(1.4rem,4vw,2rem);line-height:1.2;margin:0 0 .75rem;overflow-wrap:anywhere}
h2{font-size:1.3rem;margin:0 0 .75rem;padding-top:1.5rem;border-top:1px solid var(--rule)}
h3{font-size:1.05rem;margin:1.25rem 0 .5rem;overflow-wrap:anywhere}
p,li,dd,pre,summary{overflow-wrap:anywhere}
section{margin:1.5rem 0}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:3px}
main:focus{outline:none}
.skip{position:absolute;left:-99rem;top:0;background:var(--paper);padding:.6rem 1rem;z-index:1}
.skip:focus{left:0}
nav ul{list-style:none;margin:.5rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem}
nav a{display:inline-block;padding:.35rem 0}
dl.facts{display:grid;
grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr));gap:.75rem 1.5rem;margin:0 0 1rem}
dl.facts dt{color:var(--dim);font-size:.85rem}
dl.facts dd{margin:0;font-weight:600}
.scroll{overflow-x:auto;max-width:100%;border:1px solid var(--rule);border-radius:8px;margin:.75rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
caption{text-align:left;padding:.6rem .8rem;color:var(--dim)}
th,td{text-align:left;vertical-align:top;padding:.45rem .8rem;border-top:1px solid var(--rule)}
td{max-width:36rem;overflow-wrap:break-word}
td:last-child{min-width:min(18rem,75vw)}
time{white-space:nowrap}
thead th{background:var(--ground);font-weight:600;white-space:nowrap}
tbody th{font-weight:600;overflow-wrap:anywhere;min-width:min(9rem,40vw)}
tfoot th,tfoot td{font-weight:600;background:var(--ground)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.when{white-space:nowrap;font-variant-numeric:tabular-nums}
.chip{display:inline-block;padding:.05rem .55rem;border-radius:1rem;font-size:.85rem;font-weight:600;white-space:nowrap}
.good{color:var(--good);background:var(--good-ground)}
.bad{color:var(--bad);background:var(--bad-ground)}
.note{color:var(--note);background:var(--note-ground)}
.bar{display:block;height:.35rem;margin-top:.2rem;border-radius:.2rem;background:var(--bar);margin-left:auto;min-width:2px}
.dim{color:var(--dim)}
code,pre{font-family:ui-monospace,"SFMono-Regular",Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.9em}
pre{white-space:pre-wrap;background:var(--ground);border-radius:6px;padding:.6rem .8rem;margin:.4rem 0}
details{border:1px solid var(--rule);border-radius:8px;margin:.5rem 0;padding:0 .8rem}
details > summary{cursor:pointer;padding:.5rem 0;font-weight:600}
td details{border:0;margin:0;padding:0}
td details > summary{padding:0;font-weight:400}
.scroll > svg{display:block}
ins,del{text-decoration:none}
@media print{.scroll{overflow:visible}nav,.skip{display:none}}
@media (forced-colors: active){.chip{border:1px solid}}
""".replace("\n", "")
