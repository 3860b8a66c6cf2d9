// A scene as it was written, indexed: what is in which scope and step, what is folded into what, and its gradients.
// No DOM here, nor in layout.js.

const FOLDABLE = new Set(["op", "group", "cell", "instruction", "buffer"]);

const keyOf = (scope, column) => `${scope}|${column ?? ""}`;
const scopeOf = key => key.slice(0, key.lastIndexOf("|"));

function prepare(scene) {
  scene.byId = new Map(scene.items.map(item => [item.id, item]));
  scene.scopes = new Map(); // a scope's path -> the items in it, at whatever depth
  scene.byColumn = new Map(); // a column, or null for what is outside time steps -> the items in it
  for (const item of scene.items) {
    item.into = [];
    item.outof = [];
    item.paths = [];
    const facts = item.details ?? {};
    item.text = [item.label, ...(item.tags ?? []), facts.op, facts.name, item.scope].join(" ").toLowerCase();
    const column = item.column ?? null;
    if (!scene.byColumn.has(column)) scene.byColumn.set(column, []);
    scene.byColumn.get(column).push(item);
    if (!FOLDABLE.has(item.kind) || !item.scope) continue;
    const parts = item.scope.split("/");
    parts.forEach((_, depth) => {
      const path = parts.slice(0, depth + 1).join("/");
      item.paths.push(path);
      if (!scene.scopes.has(path)) scene.scopes.set(path, []);
      scene.scopes.get(path).push(item);
    });
  }
  for (const [path, items] of scene.scopes) if (items.length < 2) scene.scopes.delete(path);
  for (const edge of scene.edges) {
    scene.byId.get(edge.source).outof.push(edge);
    scene.byId.get(edge.target).into.push(edge);
  }
  scene.turnOf = new Map((scene.playback?.steps ?? []).map(turn => [turn.item, turn]));
  return scene;
}

// The folds of one scope, or of one time step: keys of (scope, column).
function keysOfScope(scene, path) {
  return [...new Set(scene.scopes.get(path).map(item => keyOf(path, item.column)))];
}

function keysOfStep(scene, column) {
  scene.keys ??= new Map();
  if (!scene.keys.has(column)) {
    const here = (scene.byColumn.get(column) ?? []).filter(item => item.paths.length);
    scene.keys.set(column, [...new Set(here.map(item => keyOf(item.paths.at(-1), column)))]);
  }
  return scene.keys.get(column);
}

function keysOfAll(scene) {
  const keys = new Set();
  for (const item of scene.items) {
    const path = item.paths.at(-1);
    if (path && scene.scopes.has(path)) keys.add(keyOf(path, item.column));
  }
  return keys;
}

// The outermost fold that an item is in, or undefined.
function foldOf(item, folded) {
  const path = item.paths.find(path => folded.has(keyOf(path, item.column)));
  return path === undefined ? undefined : keyOf(path, item.column);
}

// -- gradients --------------------------------------------------------------------------------------------------------

// The norm of the gradient of an item's value, or null where there is none: as it was asked for, or as it was played.
function normOf(scene, item) {
  const norm = item.details?.gradient ?? scene.turnOf.get(item.id)?.arriving?.norm;
  return typeof norm === "number" ? norm : null;
}

// The range of norms in a scene: logarithmic, for norms vanish geometrically. Null where nothing has a gradient.
function scaleOf(scene) {
  if (scale(scene.scale)) return scene.scale;
  const norms = scene.items.map(item => normOf(scene, item)).filter(norm => norm > 0);
  if (!norms.length) return null;
  const low = Math.min(...norms),
    high = Math.max(...norms);
  return high > 1.01 * low ? { low, high } : { low: low / Math.sqrt(10), high: high * Math.sqrt(10) };
}

const scale = found => found && typeof found.low === "number" && typeof found.high === "number";

function placeOn({ low, high }, norm) {
  return norm <= low ? 0 : norm >= high ? 1 : Math.log(norm / low) / Math.log(high / low);
}

// Whether a box holds integers or truth values only, which never get a gradient.
const isDiscrete = box => (box.item ? [box.item] : box.members).every(item => item.details?.discrete);

// A box's norm: of a fold, that of all its values that leave it, as one vector.
function normOfBox(scene, shown, box) {
  if (box.item) return normOf(scene, box.item);
  const leaving = box.members.filter(item => item.outof.some(edge => shown.of.get(edge.target) !== box));
  const norms = leaving.map(item => normOf(scene, item)).filter(norm => norm !== null);
  return norms.length ? Math.hypot(...norms) : null;
}
