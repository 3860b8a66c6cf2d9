// Keys, pointer and buttons: what each of them does to the page.

// -- keys -------------------------------------------------------------------------------------------------------------

// The nearest box in a direction, from the chosen one.
function walk(dx, dy) {
  const from = boxById(state.chosen);
  const [width, height] = picture.size();
  const [cx, cy] = from
    ? [from.left + from.width / 2, from.top + from.height / 2]
    : picture.toWorld(width / 2, height / 2);
  let best = null,
    least = Infinity;
  for (const box of shown.boxes) {
    if (box === from) continue;
    const x = box.left + box.width / 2 - cx,
      y = box.top + box.height / 2 - cy;
    const along = x * dx + y * dy,
      aside = Math.abs(x * dy) + Math.abs(y * dx);
    const cost = from ? along + 2.2 * aside : Math.hypot(x, y);
    if ((!from || along > 4) && cost < least) [best, least] = [box, cost];
  }
  if (best) choose(best);
  else say("Nothing there.");
}

const arrow = (dx, dy) => event => (event.shiftKey ? picture.pan(-80 * dx, -80 * dy) : walk(dx, dy));
const stepBy = by => () => {
  const last = state.scene.columns.length - 1;
  const at = state.step === null ? (by > 0 ? 0 : last) : state.step + by;
  focusStep(at < 0 || at > last ? null : at);
  say(state.step === null ? "All steps." : `Step ${shown.columns[at].label}.`);
};

const KEYS = [
  // keys, the last one as it is shown; what they do in words; the deed
  [["ArrowLeft", "←"], "go to the nearest node on the left; with Shift: move the picture", arrow(-1, 0)],
  [["ArrowRight", "→"], "... on the right", arrow(1, 0)],
  [["ArrowUp", "↑"], "... above", arrow(0, -1)],
  [["ArrowDown", "↓"], "... below", arrow(0, 1)],
  [["=", "+"], "zoom in", () => picture.zoom(1.25)],
  [["-"], "zoom out", () => picture.zoom(0.8)],
  [["0"], "show everything", () => picture.fit()],
  [["/"], "search; Enter goes to the next hit, Shift+Enter to the one before", () => $("find").focus()],
  [["f"], "fold the chosen node's cell at this step, or unfold it", () => foldChosen(false)],
  [["F"], "... at every step", () => foldChosen(true)],
  [
    ["s"],
    "fold or unfold the chosen node's time step",
    () => {
      const box = boxById(state.chosen),
        column = state.step ?? (box?.item ? box.item.column : box?.column);
      return column == null ? say("Choose a node in a time step first.") : foldStep(column);
    },
  ],
  [["a"], "fold everything, or unfold everything", () => foldAll(state.folded.size === 0)],
  [["]"], "focus on the next time step", stepBy(1)],
  [["["], "... on the one before", stepBy(-1)],
  [["p"], "play the backward pass, or pause", () => state.scene.playback && play()],
  [["."], "one step on in the backward pass", () => goToTurn(state.turn + 1)],
  [[","], "one step back", () => goToTurn(state.turn - 1)],
  [["g"], "gradient norms as colours and widths", () => ($("heat").hidden ? say("No gradient yet.") : toggleHeat())],
  [
    ["PageDown", "Page Down"],
    "the next compiler pass, or level",
    () => doc.scenes.length > 1 && openScene(doc.scenes.indexOf(state.scene) + 1),
  ],
  [
    ["PageUp", "Page Up"],
    "the pass before",
    () => doc.scenes.length > 1 && openScene(doc.scenes.indexOf(state.scene) - 1),
  ],
  [["t"], "light or dark", () => theme()],
  [["o"], "details and contents: show or hide", () => aside()],
  [["?"], "these keys", () => $("help").showModal()],
  [["Escape", "Esc"], "let go of everything", () => clear()],
];
const deeds = new Map(KEYS.flatMap(([keys, , deed]) => keys.map(key => [key, deed])));

function clear() {
  $("find").value = "";
  search("");
  pause();
  goToTurn(0);
  focusStep(null);
  choose(null);
  details();
  say("Cleared.");
}

function theme() {
  const dark = $("theme").getAttribute("aria-pressed") !== "true";
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").setAttribute("aria-pressed", dark);
}

function aside() {
  const open = $("aside").hidden;
  $("aside").hidden = !open;
  $("aside-toggle").setAttribute("aria-expanded", open);
}

// -- wiring -----------------------------------------------------------------------------------------------------------

function wire() {
  const stage = $("stage");
  picture.moved = ruler;
  addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const typing = event.target.matches("input[type=search]");
    if (typing && event.key === "Enter") return nextHit(event.shiftKey ? -1 : 1);
    if (typing && event.key === "Escape") return (clear(), stage.focus());
    // Sliders, lists and buttons keep the keys that are theirs.
    const own =
      typing || (event.target.matches("input,select,summary,#aside *") && /^(Arrow|Page|Home|End)/.test(event.key));
    const deed = own ? null : deeds.get(event.key);
    if (!deed) return;
    event.preventDefault();
    deed(event);
  });

  let from = null;
  stage.addEventListener("pointerdown", event => {
    if (event.target.closest("#ruler")) return;
    from = { x: event.clientX, y: event.clientY, still: true };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", event => {
    if (from) {
      const dx = event.clientX - from.x,
        dy = event.clientY - from.y;
      if (from.still && Math.hypot(dx, dy) < 4) return;
      Object.assign(from, { x: event.clientX, y: event.clientY, still: false });
      stage.classList.add("drag");
      picture.pan(dx, dy);
    } else hover(event);
  });
  stage.addEventListener("pointerup", event => {
    stage.classList.remove("drag");
    if (from?.still) click(event);
    from = null;
  });
  stage.addEventListener("pointerleave", () => hover(null));
  stage.addEventListener(
    "wheel",
    event => {
      event.preventDefault();
      picture.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), place(event));
    },
    { passive: false },
  );
  stage.addEventListener("dblclick", event => {
    const box = picture.boxAt(...place(event));
    if (box) (choose(box, { reveal: false }), foldChosen(event.shiftKey));
  });
  stage.addEventListener(
    "focus",
    () => state.chosen === null && say(`${state.scene.summary} Arrow keys walk from node to node, ? lists all keys.`),
  );

  const on = (id, event, deed) => $(id).addEventListener(event, deed);
  on("find", "input", () => search($("find").value));
  on("zoom-in", "click", () => picture.zoom(1.25));
  on("zoom-out", "click", () => picture.zoom(0.8));
  on("fit", "click", () => picture.fit());
  on("fold-all", "click", () => foldAll(true));
  on("unfold-all", "click", () => foldAll(false));
  on("theme", "click", theme);
  on("heat", "click", () => toggleHeat());
  on("aside-toggle", "click", aside);
  on("help-open", "click", () => $("help").showModal());
  on("step", "input", () => focusStep($("step").value === "0" ? null : $("step").value - 1));
  on("play", "click", play);
  on("play-back", "click", () => goToTurn(state.turn - 1));
  on("play-on", "click", () => goToTurn(state.turn + 1));
  on("turn", "input", () => goToTurn(Number($("turn").value)));
  on("pass", "change", () => openScene(Number($("pass").value)));
  on("pass-back", "click", () => openScene(doc.scenes.indexOf(state.scene) - 1));
  on("pass-on", "click", () => openScene(doc.scenes.indexOf(state.scene) + 1));
  new ResizeObserver(() => shown && picture.resized()).observe(stage);
  addEventListener("beforeprint", () => picture.beforePrint());
  addEventListener("afterprint", () => picture.afterPrint());
}

const place = event => {
  const { left, top } = $("stage").getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
};

function click(event) {
  const at = place(event);
  const box = picture.boxAt(...at),
    frame = box ? null : picture.frameAt(...at);
  if (frame) return fold([keyOf(state.scene.rows[frame.row].scope, frame.column)], true, frame.label);
  choose(box, { reveal: false });
}

function hover(event) {
  const at = event && place(event);
  const box = at && !event.target.closest("#ruler") ? picture.boxAt(...at) : null;
  const tip = $("tip");
  if (box !== state.hover) {
    state.hover = box;
    marks();
    $("stage").classList.toggle("over", Boolean(box || (at && picture.frameAt(...at))));
    tip.hidden = !box;
    if (box) tip.replaceChildren(make("p", { class: "name" }, titleOf(box)), factList(factsOf(state.scene, box)));
  }
  if (!box) return;
  const [width, height] = picture.size();
  tip.style.left = `${Math.max(0, Math.min(at[0] + 14, width - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(0, at[1] + 18 + tip.offsetHeight > height ? at[1] - tip.offsetHeight - 12 : at[1] + 18)}px`;
}

function start() {
  if (innerWidth < 700) aside(); // a phone, or a frame in a page: the picture first, the panel when asked for
  wire();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  $("theme").setAttribute("aria-pressed", dark.matches);
  $("passes").hidden = doc.scenes.length < 2;
  $("pass").replaceChildren(...doc.scenes.map((scene, index) => make("option", { value: index }, scene.name)));
  $("keys").replaceChildren(
    ...KEYS.flatMap(([keys, words]) => [
      make("dt", {}, ...keys.slice(-1).map(key => make("kbd", {}, key))),
      make("dd", {}, words),
    ]),
  );
  if (doc.folded) state.folded = keysOfAll(state.scene);
  openScene(doc.start);
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("first-picture")));
}

start();
