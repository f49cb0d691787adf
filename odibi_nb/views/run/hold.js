// Keeps a press and the focus in a live view, whose elements are replaced several times a second.
// A browser forgets both with their element: here they go on to the element that took its place.
if (!document.odibiHolds) {
  document.odibiHolds = true;
  const row = e => e.closest("tbody")?.rows[0].cells[1]?.textContent ?? e.querySelector("title")?.textContent.split("\n")[0];
  const name = e => JSON.stringify([e.tagName, row(e), e.title, e.dataset.status]);
  const held = e => ({e, live: e.closest(".odibi-live"), name: name(e), row: row(e)});
  const same = (h, place) => [...place.querySelectorAll(h.e.tagName)].find(e => name(e) == h.name);
  const inside = (e, what) => e.closest?.(".odibi-live") && e.closest(what);
  let pressed, focused;
  const press = what => event => {
    const e = event.key && event.key != " " ? null : inside(event.target, what);
    pressed = e && Object.assign(held(e), {x: event.x, y: event.y});
  };
  const release = event => {
    const h = pressed;
    pressed = null;
    if (h && !h.e.isConnected && !(Math.hypot(event.x - h.x, event.y - h.y) > 9))
      same(h, h.live)?.dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true}));
  };
  document.addEventListener("pointerdown", press("button,tr,rect"), true);
  document.addEventListener("pointerup", release, true);
  document.addEventListener("keydown", press("button"), true);
  document.addEventListener("keyup", release, true);
  // The end of a run replaces the live view by a saved one, in the same outputs.
  const back = () => {
    const h = focused;
    if (!h || h.e.isConnected || !document.activeElement?.contains(h.area)) return;
    const e = same(h, h.live.isConnected ? h.live : h.area) ??
      [...h.area.querySelectorAll("tbody button")].find(e => row(e) == h.row);
    e?.focus({preventScroll: true});
  };
  const watch = new MutationObserver(back);
  document.addEventListener("focusin", event => {
    const e = inside(event.target, "button");
    if (!e) return;
    focused = Object.assign(held(e), {area: e.closest(".jp-OutputArea") ?? e.closest(".odibi-live")});
    watch.disconnect();
    watch.observe(focused.area, {childList: true, subtree: true});
  });
  // An element that is replaced loses the focus, too, but is gone a moment later.
  document.addEventListener("focusout", event => setTimeout(() => {
    if (focused?.e == event.target && event.target.isConnected && document.activeElement != event.target) focused = null;
  }));
}
