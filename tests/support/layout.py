"""What must hold of every page in a browser: nothing beside the window, nothing over anything else, and what axe-core
finds of faults that shut people out."""

from importlib.resources import files

SIZES = {390: 844, 900: 700, 1366: 768, 1920: 1080}

# What is seen of each part: its box, cut by the boxes of all around it that scroll or hide. Boxes that hold one another
# may overlap, as may what is drawn inside one of plotly's scenes.
_FAULTS = """(() => {
  const parts = [...document.querySelectorAll("h1, h2, h3, p, li, img, canvas, table, summary, figure, label, button, "
    + "input, progress, .light, .scene")]
    .filter(part => part.checkVisibility() && !part.closest("#tip") && !part.parentElement.closest(".scene"));
  const seen = part => {
    let { left, top, right, bottom } = part.getBoundingClientRect();
    for (let around = part.parentElement; around && around !== document.body; around = around.parentElement) {
      if (getComputedStyle(around).overflow === "visible") continue;
      const box = around.getBoundingClientRect();
      [left, top, right, bottom] = [Math.max(left, box.left), Math.max(top, box.top), Math.min(right, box.right),
        Math.min(bottom, box.bottom)];
    }
    return { part, left, top, right, bottom };
  };
  const boxes = parts.map(seen).filter(({ left, top, right, bottom }) => right - left > 1 && bottom - top > 1);
  const name = ({ part }) => `${part.tagName} ${part.id} ${part.textContent.trim().slice(0, 30)}`;
  const faults = boxes.filter(box => box.left < -1 || box.right > document.documentElement.clientWidth + 1)
    .map(box => `${name(box)} lies beside the window`);
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach(b => {
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 1 && !a.part.contains(b.part) && !b.part.contains(a.part))
      faults.push(`${name(a)} lies over ${name(b)}`);
  }));
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) faults.push("it scrolls sideways");
  for (const part of document.querySelectorAll("table.normal"))
    if (part.scrollWidth > part.parentElement.clientWidth + 1) faults.push(`${name({ part })} is wider than its place`);
  return faults.slice(0, 10);
})()"""


def faults(page, width):
    """Faults of the page that is open, at a width of SIZES."""
    page.resize(width, SIZES[width])
    page.settle()
    return page.ask(_FAULTS)


def hindrances(page):
    """What axe-core calls serious or critical on the page that is open, with the first part that has it."""
    page.ask((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8") + "; true")
    return page.ask(
        "axe.run(document, {resultTypes: ['violations']}).then(({violations}) => violations"
        ".filter(({impact}) => ['serious', 'critical'].includes(impact))"
        ".map(({id, nodes}) => `${id}: ${nodes[0].html.slice(0, 120)}`))"
    )
