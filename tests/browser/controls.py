"""Find controls that some people could not use."""

from __future__ import annotations

UNUSABLE = """() => {
  const outputs = '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea';
  const controls = 'button, input, select, textarea, a[href]';
  return [...document.querySelectorAll(`${outputs} :is(${controls})`)].filter(e => e.offsetParent).filter(e => {
    const label = e.labels?.[0];
    const name = (label?.innerText || e.getAttribute('aria-label') || e.innerText || '').trim();
    const tip = e.title || e.dataset.title || label?.title || label?.querySelector('[title]')?.title;
    return !(name && tip && e.tabIndex >= 0);
  }).map(e => e.outerHTML.slice(0, 300));
}"""


def unusable(page):
    """The visible controls of the notebook that have no label, no tooltip, or no place in the order of Tab."""
    return page.evaluate(UNUSABLE)
