// The page: its state, what is shown of it, choosing, folding, search.

const $ = id => document.getElementById(id);
const doc = JSON.parse($("data").textContent);
doc.scenes.forEach(prepare);

const state = {
  scene: doc.scenes[doc.start],
  heat: false, // gradient norms as colours
  folded: new Set(),
  chosen: null, // a box's id
  hits: [],
  hit: -1,
  step: null, // a column in focus
  turn: 0, // of the backward pass: 0 is before it
  timer: null, // while the backward pass plays
  hover: null, // the box under the pointer
};
const picture = new Picture($("picture"));
let shown = null;

const say = text => {
  $("live").textContent = text;
};

// -- showing ----------------------------------------------------------------------------------------------------------

function show(fit = false) {
  const { scene } = state;
  shown = layout(scene, state.folded);
  if (!shown.byId.has(state.chosen)) state.chosen = null;
  state.hover = null;
  $("tip").hidden = true;
  picture.show(shown, fit);
  marks();
  scopes();
  ruler();
}

// The list of scopes again, with the keyboard's focus where it was.
function scopes() {
  const focused = document.activeElement?.closest?.("#scopes button")?.dataset.scope;
  $("scopes").replaceChildren(scopeList(state.scene, state.folded, fold));
  if (focused !== undefined)
    [...$("scopes").querySelectorAll("button")].find(button => button.dataset.scope === focused)?.focus();
}

function boxById(id) {
  return shown.byId.get(id) ?? null;
}

function marks() {
  const { scene, step } = state;
  const columnOf = box => (box.item ? box.item.column : box.column) ?? null;
  picture.heat = heat();
  picture.focus = step === null ? null : { column: step, of: columnOf };
  const list = [];
  const hits = [...new Set(state.hits.map(item => shown.of.get(item.id)))];
  list.push({ role: "hit", boxes: hits });
  if (state.hit >= 0) list.push({ role: "now", boxes: [shown.of.get(state.hits[state.hit].id)] });
  list.push(...turnMarks());
  const chosen = boxById(state.chosen);
  if (chosen)
    list.push(
      { role: "near", wires: shown.wires.filter(wire => wire.from === chosen || wire.to === chosen) },
      { role: "chosen", boxes: [chosen] },
    );
  if (state.hover) list.push({ role: "hover", boxes: [state.hover] });
  picture.mark(list);
}

// The colour and the width of everything by the norm of its gradient.
function heat() {
  const { scene } = state;
  const range = state.heat ? scaleOf(scene) : null;
  legend(range);
  if (!range) return null;
  const shade = place => doc.heat[Math.round(place * (doc.heat.length - 1))];
  return {
    box(box) {
      const norm = normOfBox(scene, shown, box);
      if (norm === null) return ["fold", "initial", "constant"].includes(box.kind) || isDiscrete(box) ? undefined : null;
      const [fill, line, text] = shade(placeOn(range, norm));
      return { fill, line, text, words: `‖∂‖ ${figure(norm, 2)}` };
    },
    wire(wire) {
      const norm = wire.edge.gradient ?? normOf(scene, scene.byId.get(wire.edge.source));
      if (wire.kind === "cut" || typeof norm !== "number") return undefined;
      const place = placeOn(range, norm);
      return { line: shade(0.3 + 0.7 * place)[0], width: 0.8 + (wire.edge.state ? 4.2 : 1.6) * place };
    },
  };
}

function legend(range) {
  $("legend").hidden = !range;
  if (!range) return;
  $("low").textContent = figure(range.low, 2);
  $("high").textContent = figure(range.high, 2);
  $("strip").style.background = `linear-gradient(to right,${doc.heat.map(([fill]) => fill).join(",")})`;
}

function toggleHeat(on = !state.heat) {
  const { scene } = state;
  state.heat = on && scaleOf(scene) !== null;
  $("heat").setAttribute("aria-pressed", state.heat);
  marks();
  picture.repaint();
  if (on) say(state.heat ? "Gradient norms as colours, dark is large." : "No gradient yet.");
}

function turnMarks() {
  const { playback } = state.scene;
  if (!playback || state.turn === 0) return [];
  const done = new Map();
  for (const turn of playback.steps.slice(0, state.turn)) {
    const box = shown.of.get(turn.item);
    done.set(box, box.item && turn.arriving ? `‖g‖ ${figure(turn.arriving.norm, 2)}` : "");
  }
  const turn = playback.steps[state.turn - 1];
  const box = shown.of.get(turn.item);
  const reached = new Set(
    turn.flows
      .map(flow => flow.item)
      .filter(item => item !== null && item !== undefined)
      .map(item => shown.of.get(item)),
  );
  return [
    {
      role: "done",
      boxes: [...done.keys()],
      texts: [...done].filter(([, text]) => text).map(([box, text]) => [text, box]),
    },
    {
      role: "flow",
      wires: shown.wires.filter(wire => wire.to === box && reached.has(wire.from) && wire.kind !== "cut"),
    },
    { role: "turn", boxes: [box] },
  ];
}

function details() {
  const { playback } = state.scene;
  const box = boxById(state.chosen);
  if (!box) {
    const end = playback && state.turn === playback.steps.length;
    $("details").replaceChildren(
      ...(end
        ? totals(playback)
        : [make("p", { class: "hint" }, "Point at a node, click it, or walk with the arrow keys.")]),
    );
    return;
  }
  const now = playback && state.turn ? playback.steps[state.turn - 1] : null;
  const turn = now && shown.of.get(now.item) === box ? now : box.item && state.scene.turnOf.get(box.item.id);
  $("details").replaceChildren(
    make("p", { class: "name" }, titleOf(box)),
    factList(factsOf(state.scene, box)),
    ...(turn ? turnDetails(turn) : []),
    ...(playback && state.turn === playback.steps.length ? totals(playback) : []),
  );
}

function choose(box, { reveal = true, speak = true } = {}) {
  state.chosen = box?.id ?? null;
  marks();
  details();
  document.querySelectorAll("#nodes [aria-current]").forEach(button => button.removeAttribute("aria-current"));
  if (!box) return;
  if (box.item) document.querySelector(`#nodes [data-item="${box.item.id}"]`)?.setAttribute("aria-current", "true");
  if (reveal) picture.reveal(box);
  if (speak) say(sentence(state.scene, shown, box));
}

// -- folding ----------------------------------------------------------------------------------------------------------

function fold(keys, close, what = "") {
  const anchor = boxById(state.chosen) ?? null;
  for (const key of keys)
    if (close) state.folded.add(key);
    else state.folded.delete(key);
  const before = anchor && [anchor.left * picture.scale + picture.x, anchor.top * picture.scale + picture.y];
  show();
  const after = anchor && boxById(anchor.id);
  if (after)
    picture.pan(before[0] - after.left * picture.scale - picture.x, before[1] - after.top * picture.scale - picture.y);
  details();
  if (what) say(`${what} ${close ? "folded" : "unfolded"}.`);
}

function foldAll(close) {
  state.folded = close ? keysOfAll(state.scene) : new Set();
  show(true);
  details();
  say(close ? "All cells folded." : "Everything unfolded.");
}

// Fold what the chosen node is in, or unfold the chosen cell; `everywhere`: at every time step.
function foldChosen(everywhere) {
  const box = boxById(state.chosen);
  if (!box) return say("Choose a node first.");
  const path = box.item ? box.item.paths.at(-1) : box.scope;
  if (!path || !state.scene.scopes.has(path)) return say("This node is in no cell.");
  const own = box.item ? keyOf(path, box.item.column) : box.key;
  const close = Boolean(box.item);
  fold(everywhere ? keysOfScope(state.scene, path) : [own], close, path.split("/").at(-1));
  choose(shown.of.get((box.item ?? box.members[0]).id));
}

function foldStep(column) {
  const keys = keysOfStep(state.scene, column);
  if (keys.length)
    fold(
      keys,
      keys.some(key => !state.folded.has(key)),
      state.scene.columns[column].label,
    );
}

// Open the folds around an item, and choose it.
function goTo(item) {
  const keys = [...item.paths.map(path => keyOf(path, item.column))].filter(key => state.folded.has(key));
  if (keys.length) fold(keys, false);
  choose(shown.of.get(item.id));
}

// -- search -----------------------------------------------------------------------------------------------------------

function search(text) {
  const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  state.hits = words.length ? state.scene.items.filter(item => words.every(word => item.text.includes(word))) : [];
  state.hit = -1;
  $("count").textContent = words.length ? `${state.hits.length} found` : "";
  marks();
}

function nextHit(by) {
  const { hits } = state;
  if (!hits.length) return;
  state.hit = (state.hit + by + hits.length + (state.hit < 0 && by < 0 ? 1 : 0)) % hits.length;
  $("count").textContent = `${state.hit + 1} of ${hits.length}`;
  goTo(hits[state.hit]);
}
