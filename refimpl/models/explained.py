"""A page on how a text was generated: probabilities, alternatives, attention."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np

from refimpl.models.writer import Step
from refimpl.models.writers import Words

LIKELIEST = 10  # words of a table
STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --soft: #5b6470; --line: #d5dae0;
  --bar: #0b5cad; --tint: 11 92 173; --drawn: #116329; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --ink: #e4e8ec; --soft: #9aa5b1;
  --line: #343b44; --bar: #7cbcff; --tint: 124 188 255; --drawn: #66d084; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 60rem; background: var(--page);
  color: var(--ink); font: 1rem/1.7 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.3; } .soft { color: var(--soft); }
.text { white-space: pre-wrap; font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
.text span, .text a { color: inherit; text-decoration: none; border-radius: .15rem;
  padding: .1rem 0; background: rgb(var(--tint) / var(--share)); }
.text a:hover, .text a:focus { outline: 2px solid var(--bar); }
details { border-top: 1px solid var(--line); padding: .3rem 0; }
summary { cursor: pointer; } details:target > summary { font-weight: 700; }
table { border-collapse: collapse; margin: .5rem 0; width: 100%; }
th, td { text-align: left; padding: .1rem .6rem .1rem 0; font-variant-numeric: tabular-nums; }
td.bar { width: 45%; } td.bar i { display: block; height: .8rem; background: var(--bar);
  width: calc(100% * var(--share)); min-width: 1px; border-radius: .1rem; }
tr.drawn th, tr.drawn td { color: var(--drawn); font-weight: 700; }
tr.drawn i { background: var(--drawn); } code { white-space: pre; }
"""
LEAD = (
    "The darker a word that was written, the larger its share when it was drawn. Each leads to its "
    "step: the likeliest words before and after the filters, and how much the last word looks at "
    "each word before it, the mean over all heads of a layer."
)


def page(prompt: str, steps: Sequence[Step], manner: str, words: Words) -> str:
    """One HTML page without scripts that needs no network.

    manner: how words were chosen. words: what their numbers mean.
    """
    written = (
        _tinted(piece(step.word, words), step.shares.before[step.word], f"step-{number}")
        for number, step in enumerate(steps, start=1)
    )
    body = [
        f"<h1>What follows “{_esc(prompt)}”</h1>",
        f'<p class="soft">{_esc(manner)}</p>',
        f'<p class="text">{_esc(prompt)}{"".join(written)}</p>',
        f'<p class="soft">{LEAD}</p>',
        *(_section(number, step, words) for number, step in enumerate(steps, start=1)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{_esc(prompt)} …</title><style>{STYLE}</style></head><body>"
        + "\n".join(body)
        + "</body></html>\n"
    )


def piece(word: int, words: Words) -> str:
    """The signs of a word, a new line made visible."""
    return words.label(word).replace("\n", "⏎\n")


def _section(number: int, step: Step, words: Words) -> str:
    order = np.argsort(-step.shares.before, kind="stable")[:LIKELIEST].tolist()
    if step.word not in order:
        order.append(step.word)
    layers = enumerate(np.mean(step.attention, axis=1), start=1)  # N each
    looked = (
        f'<p class="text"><span class="soft">layer {i}</span>  '
        f"{_looked(step.seen, shares, words)}</p>"
        for i, shares in layers
    )
    return (
        f'<details id="step-{number}"><summary>Step {number}: {step.uniform:.4f} draws '
        f"<code>{_esc(piece(step.word, words).strip(chr(10)))}</code>, a share of "
        f"{step.shares.left[step.word]:.4f}</summary>"
        '<table><tr><th scope="col">word</th><th scope="col">logit</th><th scope="col">share</th>'
        '<th scope="col">left</th><th></th></tr>'
        + "".join(_row(step, word, words) for word in order)
        + f"</table>{''.join(looked)}</details>"
    )


def _row(step: Step, word: int, words: Words) -> str:
    drawn = ' class="drawn"' if word == step.word else ""
    left = step.shares.left[word]
    return (
        f'<tr{drawn}><th scope="row"><code>{_esc(piece(word, words).strip(chr(10)))}</code></th>'
        f"<td>{step.logits[word]:.3f}</td><td>{step.shares.before[word]:.4f}</td>"
        f"<td>{f'{left:.4f}' if left else 'forbidden'}</td>"
        f'<td class="bar"><i style="--share:{left:.4f}"></i></td></tr>'
    )


def _looked(seen: Iterable[int], shares: np.ndarray, words: Words) -> str:
    """Words, each as dark as its share compared with the largest one."""
    most = float(np.max(shares))
    return "".join(_tinted(piece(w, words), x / most) for w, x in zip(seen, shares, strict=True))


def _tinted(text: str, share: float, place: str = "") -> str:
    mark, where = ("a", f' href="#{place}"') if place else ("span", "")
    shade = f'style="--share:{share * 0.8:.3f}"'
    return f'<{mark}{where} {shade} title="{share:.3f}">{_esc(text)}</{mark}>'


def _esc(text: str) -> str:
    return html.escape(text, quote=True)
