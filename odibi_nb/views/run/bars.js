// In a drawing of many bars, the bars of a line are one path, whose title has all their names from left to right.
// On its way to a bar, the mouse leaves only the name of that bar in the title. Without this script it shows all names.
if (!document.odibiBars) {
  document.odibiBars = true;
  document.addEventListener('mousemove', ({target, x, y}) => {
    const path = target.closest?.('svg[data-run] path'), title = path?.querySelector('title');
    if (!title) return;
    const names = title.names ??= title.textContent.split("\n");
    const at = new DOMPoint(x, y).matrixTransform(path.getScreenCTM().inverse()).x;
    const starts = [...path.getAttribute('d').matchAll(/M([\d.]+)/g)].filter(start => start[1] <= at);
    title.textContent = names[Math.max(1, starts.length) - 1];
  });
}
