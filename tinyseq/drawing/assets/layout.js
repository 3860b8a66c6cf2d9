// A scene laid out anew for what is folded.
//
// Folding needs no second layout. A folded cell is one box in the place of its frame, and the axes are squeezed, piece
// by piece and in order, where nothing but folded things stands; every corner of every wire goes through the same two
// maps, so a wire that was drawn stays a wire that is right.

const FOLDED_HEIGHT = 72;

function layout(scene, folded) {
  const groups = new Map();
  const boxes = [];
  const of = new Map(); // an item's id -> the box that shows it
  const ids = new Map(); // an item -> the group that it is folded into
  const sizes = new Map();
  for (const item of scene.items) {
    const key = foldOf(item, folded);
    if (key === undefined) continue;
    const part = partOf(scene, key, item);
    const id = part ? `${key}#${part}` : key;
    ids.set(item, { id, key, part });
    sizes.set(id, (sizes.get(id) ?? 0) + 1);
  }
  for (const item of scene.items) {
    const { id, key, part } = ids.get(item) ?? {};
    if (id === undefined || (sizes.get(id) === 1 && item.column == null)) {
      // to fold one bar would hide more than it saves
      const [left, top, width, height] = item.place;
      const box = { id: String(item.id), item, kind: item.kind, look: item.look, left, top, width, height };
      boxes.push(box);
      of.set(item.id, box);
      continue;
    }
    if (!groups.has(id))
      groups.set(id, { id, key, part, kind: "cell", column: item.column ?? null, scope: scopeOf(key), members: [] });
    groups.get(id).members.push(item);
    of.set(item.id, groups.get(id));
  }
  const frames = scene.frames.filter(frame => !hidden(scene, frame, folded));
  for (const group of groups.values()) surround(scene, group);
  const states = groups.size ? statesOf(scene, of) : new Map();
  const { x, y } = groups.size ? squeeze(scene, boxes, [...groups.values()], frames, states) : { x: same, y: same };
  const found = { boxes: [...boxes, ...groups.values()], of };
  found.byId = new Map(found.boxes.map(box => [box.id, box]));
  found.frames = frames.map(frame => ({ ...frame, ...mapped(frame, x, y) }));
  found.columns = scene.columns.map(column => ({ ...column, left: x(column.left), right: x(column.right) }));
  found.panels = panels(scene, folded, x, y);
  const lanes = stateLanes(scene, of, states);
  found.wires = wires(scene, of, x, y, lanes, groups.size ? found.boxes : null);
  found.marks = (scene.marks ?? []).map(mark => ({ ...mark, x: x(mark.x), y: y(mark.y) }));
  found.texts = scene.texts.map(text => ({ ...text, x: x(text.x), y: y(text.y) }));
  return Object.assign(found, bounds(found));
}

const same = v => v;

function mapped(rect, x, y) {
  const left = x(rect.left),
    top = y(rect.top);
  return { left, top, width: x(rect.left + rect.width) - left, height: y(rect.top + rect.height) - top };
}

function hidden(scene, frame, folded) {
  const scope = scene.rows[frame.row]?.scope ?? "";
  const parts = scope.split("/");
  return parts.some((_, depth) => folded.has(keyOf(parts.slice(0, depth + 1).join("/"), frame.column)));
}

const within = (path, scope) => path === scope || path.startsWith(scope + "/");

// A scope may fold into several boxes: what leads into a loop and what follows it, a loop and its backward loop. Only
// rows that stand right over one another are one box.
function partOf(scene, key, item) {
  const scope = scopeOf(key);
  scene.parts ??= new Map();
  if (!scene.parts.has(scope)) scene.parts.set(scope, rowParts(scene, scope));
  const rows = scene.parts.get(scope);
  if (item.column != null) return rows.get(item.row)?.part ?? 0;
  const above = [...rows.values()].filter(row => row.top < item.place[1]);
  return new Set(above.map(row => row.part)).size;
}

// The rows of a scope from the top down, and the part that each of them is in.
function rowParts(scene, scope) {
  const extents = new Map();
  for (const { row, top, height } of scene.frames) {
    if (within(scene.rows[row]?.scope ?? "", scope)) extents.set(row, { top, bottom: top + height });
  }
  const middles = scene.items.filter(item => !extents.has(item.row)).map(({ place }) => place[1] + place[3] / 2);
  let part = 0,
    above = null;
  for (const row of [...extents.values()].sort((a, b) => a.top - b.top)) {
    if (above && middles.some(y => y > above.bottom && y < row.top)) part++;
    row.part = part;
    above = row;
  }
  return extents;
}

// A group stands where its frames were, or where its members were.
function surround(scene, group) {
  const rects =
    group.column === null
      ? []
      : scene.frames.filter(
          frame => frame.column === group.column && scene.parts.get(group.scope).get(frame.row)?.part === group.part,
        );
  group.framed = rects.length > 0;
  if (!group.framed) {
    for (const {
      place: [left, top, width, height],
    } of group.members)
      rects.push({ left, top, width, height });
  }
  group.left = Math.min(...rects.map(rect => rect.left));
  group.top = Math.min(...rects.map(rect => rect.top));
  group.width = Math.max(...rects.map(rect => rect.left + rect.width)) - group.left;
  group.height = Math.max(...rects.map(rect => rect.top + rect.height)) - group.top;
  group.look = group.members.some(item => item.change === "new")
    ? "new"
    : group.members.some(item => item.change)
      ? "rewired"
      : "cell";
  group.label = group.scope.split("/").at(-1);
  const number = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
  const parameters = group.members.reduce((sum, item) => sum + (item.details?.parameters ?? 0), 0);
  // Where a cell is used at every step its weights stand in the margin.
  group.below =
    group.column === null && parameters ? number(parameters, "parameter") : number(group.members.length, "op");
}

// Find the maps of the two axes, and send every box through them.
function squeeze(scene, boxes, groups, frames, states) {
  const height = group => Math.max(FOLDED_HEIGHT, 12 + 28 * (states.get(cellOf(group))?.length ?? 0));
  const rows = groups.map(group => [group.top, group.top + group.height, height(group)]);
  const keep = [...boxes.filter(box => box.kind !== "initial"), ...frames].map(box => [box.top, box.top + box.height]);
  const y = squeezed(rows, keep);
  const columns = [];
  const open = new Set(frames.map(frame => frame.column)),
    least = new Map(),
    widest = new Map();
  const largest = (map, key, value) => map.set(key, Math.max(map.get(key) ?? 0, value));
  for (const group of groups) largest(least, group.column, Math.max(76, group.label.length * 9 + 28) / group.width);
  for (const box of boxes) if (box.item.column != null) largest(widest, box.item.column, box.width + 8);
  for (const [index, column] of scene.columns.entries()) {
    if (!least.has(index) || open.has(index)) continue;
    const width = (column.right - column.left) * Math.min(least.get(index), 1);
    columns.push([column.left, column.right, Math.max(width, widest.get(index) ?? 0)]);
  }
  const x = squeezed(columns, []);
  for (const box of [...boxes, ...groups.filter(group => group.framed)]) {
    if (box.item?.bar || box.framed) {
      Object.assign(box, mapped(box, x, y));
    } else {
      box.left = x(box.left + box.width / 2) - box.width / 2;
      box.top = y(box.top + box.height / 2) - box.height / 2;
    }
  }
  const standing = [...boxes, ...groups.filter(group => group.framed)];
  for (const group of groups) {
    if (group.framed) continue;
    settle(group, standing, x, y);
    standing.push(group);
  }
  apart(boxes.filter(box => box.item.column == null && !box.item.bar).concat(groups.filter(group => !group.framed)));
  return { x, y };
}

// A fold outside the frames stands where most of its members were, if that is free: in the middle of them, or in the
// place of one that is not far from it.
function settle(group, standing, x, y) {
  const width = Math.max(84, group.label.length * 9 + 32),
    height = 44;
  const middle = [group.left + group.width / 2, group.top + group.height / 2];
  const places = group.members.map(({ place: [left, top, wide, high] }) => [left + wide / 2, top + high / 2]);
  places.sort(
    (a, b) => Math.hypot(a[0] - middle[0], a[1] - middle[1]) - Math.hypot(b[0] - middle[0], b[1] - middle[1]),
  );
  const at = (cx, cy) => ({ left: cx - width / 2, top: cy - height / 2, width, height });
  const free = rect => !standing.some(box => overlap(rect, box));
  let found = [middle, ...places.slice(0, 12)].map(([cx, cy]) => at(x(cx), y(cy))).find(free);
  const [cx, cy] = [x(places[0][0]), y(places[0][1])];
  for (let round = 1; !found; round++) {
    const around = [
      [0, -1],
      [1, 0],
      [-1, 0],
      [0, 1],
    ]; // above it, beside it, below it, further and further
    found = around.map(([dx, dy]) => at(cx + dx * round * (width / 2), cy + dy * round * (height / 2))).find(free);
  }
  Object.assign(group, found);
}

const overlap = (a, b) =>
  a.left < b.left + b.width + 4 &&
  b.left < a.left + a.width + 4 &&
  a.top < b.top + b.height + 4 &&
  b.top < a.top + a.height + 4;

// A map of an axis that shrinks the `free` intervals [from, to, size] to their sizes, but no part of the `keep` ones.
function squeezed(free, keep) {
  const kept = union(keep);
  const runs = [];
  let k = 0;
  for (const [from, to, size] of union(free)) {
    let at = from;
    while (k < kept.length && kept[k][1] <= from) k++;
    for (let i = k; i < kept.length && kept[i][0] < to; i++) {
      if (kept[i][0] > at) runs.push([at, kept[i][0], size]);
      at = Math.max(at, kept[i][1]);
    }
    if (at < to) runs.push([at, to, size]);
  }
  const old = [0],
    fresh = [0];
  let shift = 0;
  for (const [from, to, size] of runs) {
    old.push(from, to);
    fresh.push(from - shift);
    shift += Math.max(0, to - from - size);
    fresh.push(to - shift);
  }
  return v => {
    let low = 0,
      high = old.length - 1;
    if (v >= old[high]) return v - shift;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (old[middle] <= v) low = middle;
      else high = middle - 1;
    }
    const span = old[low + 1] - old[low];
    return fresh[low] + (span ? ((v - old[low]) * (fresh[low + 1] - fresh[low])) / span : 0);
  };
}

function union(intervals) {
  const result = [];
  for (const [from, to, size] of [...intervals].sort((a, b) => a[0] - b[0])) {
    const last = result.at(-1);
    if (last && from < last[1]) {
      last[1] = Math.max(last[1], to);
      last[2] = Math.max(last[2], size ?? 0);
    } else result.push([from, to, size ?? 0]);
  }
  return result;
}

// Boxes of one line that the squeeze has brought too close: set them side by side again.
function apart(boxes) {
  const lines = new Map();
  for (const box of boxes) {
    const line = Math.round(box.top + box.height / 2);
    if (!lines.has(line)) lines.set(line, []);
    lines.get(line).push(box);
  }
  for (const line of lines.values()) {
    line.sort((a, b) => a.left - b.left);
    for (let i = 1; i < line.length; i++)
      line[i].left = Math.max(line[i].left, line[i - 1].left + line[i - 1].width + 16);
  }
}

// The weights of what is folded outside time steps are told by the fold itself.
function panels(scene, folded, x, y) {
  let floor = Infinity;
  const told = panel => {
    const scope = (panel.facts ?? []).find(([key]) => key === "scope")?.[1] ?? "";
    return !panel.wires?.length && [...folded].some(key => key.endsWith("|") && within(scope, scopeOf(key)));
  };
  const order = scene.panels
    .filter(panel => !told(panel))
    .map(panel => [y(panel.top + panel.height / 2), panel])
    .sort((a, b) => b[0] - a[0]);
  return order.map(([middle, panel]) => {
    const top = Math.min(middle - panel.height / 2, floor - panel.height - 8);
    floor = top;
    const lines = (panel.wires ?? []).map((line, number) =>
      line.map(([px, py], corner) => [
        x(px),
        number === 0 && corner < 2 ? Math.min(Math.max(y(py), top + 8), top + panel.height - 8) : y(py),
      ]),
    );
    return { ...panel, top, left: x(panel.left), wires: lines };
  });
}

// The states that come into each folded cell, top down: c over h, as the lecture has it. A fold around several cells
// has those of each.
function statesOf(scene, of) {
  const names = new Map();
  for (const edge of scene.edges) {
    const to = of.get(edge.target);
    if (!edge.state || !edge.name || !to.framed || of.get(edge.source) === to) continue;
    if (!names.has(cellOf(to))) names.set(cellOf(to), new Set());
    names.get(cellOf(to)).add(stateKey(scene, edge));
  }
  return new Map([...names].map(([cell, keys]) => [cell, [...keys].sort()]));
}

// What folds of one cell at several steps have in common.
const cellOf = group => `${group.scope}#${group.part}`;

const stateKey = (scene, edge) => `${scene.rows.length - scene.byId.get(edge.target).row} ${edge.name}`;

// The height at which each of them runs from cell to cell. An initial state stands there.
function stateLanes(scene, of, states) {
  const lanes = new Map();
  for (const edge of scene.edges) {
    const from = of.get(edge.source),
      to = of.get(edge.target);
    const all = edge.state && edge.name && to.framed ? states.get(cellOf(to)) : null;
    if (!all || from === to) continue;
    const next = !from.item && cellOf(from) === cellOf(to) && Math.abs(from.column - to.column) === 1;
    if (from.kind !== "initial" && !next) continue;
    const apart = Math.min(32, (to.height - 12) / all.length);
    const middle = to.top + to.height / 2 + (all.indexOf(stateKey(scene, edge)) - (all.length - 1) / 2) * apart;
    lanes.set(edge, middle);
    if (from.kind === "initial") from.top = middle - from.height / 2;
  }
  return lanes;
}

// -- wires ------------------------------------------------------------------------------------------------------------

function wires(scene, of, x, y, lanes, boxes) {
  const result = [];
  const seen = new Set();
  for (const edge of scene.edges) {
    if (!edge.points) continue; // a plan tells its reads and writes by marks
    const from = of.get(edge.source),
      to = of.get(edge.target);
    const wire = { edge, from, to, kind: edge.cut ? "cut" : edge.state ? "state" : "page", points: edge.points };
    wire.badge = edge.badge_at ? [x(edge.badge_at[0]), y(edge.badge_at[1])] : null;
    wire.label =
      edge.label && edge.label_at ? { x: x(edge.label_at[0]), y: y(edge.label_at[1]), anchor: edge.anchor } : null;
    if (boxes) {
      // something is folded
      if (from === to && !edge.delay) continue;
      if (!from.item || !to.item) {
        // several wires between two boxes of which one is folded are one wire
        const key = `${from.id}>${to.id}>${edge.label ?? ""}>${edge.state ? stateKey(scene, edge) : ""}`;
        if (seen.has(key)) continue;
        seen.add(key);
      }
      if (lanes.has(edge)) {
        const lane = lanes.get(edge),
          right = from.left < to.left;
        wire.points = [
          [right ? from.left + from.width : from.left, lane],
          [right ? to.left : to.left + to.width, lane],
        ];
        const aside = edge.cut ? (right ? -18 : 18) : 0; // clear of the strokes
        wire.label &&= { x: (wire.points[0][0] + wire.points[1][0]) / 2 + aside, y: lane - 5, anchor: "middle" };
      } else {
        const corners = edge.points.map(([px, py]) => [x(px), y(py)]);
        wire.points =
          direct(from, to, corners, boxes) ??
          straightened(attached(attached(corners, from).reverse(), to).reverse(), from);
        const [first, last] = [wire.points[0], wire.points.at(-1)];
        const left = wire.points[1][0] < first[0] - 0.5; // it leaves to the left
        if (wire.label && from.framed && !edge.delay)
          wire.label = { x: first[0] + (left ? -6 : 6), y: first[1] - 6, anchor: left ? "end" : "start" };
        else if (wire.label && !from.item) wire.label = { x: last[0] + 5, y: last[1] + 17, anchor: "start" };
      }
    }
    const xs = wire.points.map(point => point[0]),
      ys = wire.points.map(point => point[1]);
    Object.assign(wire, {
      left: Math.min(...xs),
      right: Math.max(...xs),
      top: Math.min(...ys),
      bottom: Math.max(...ys),
    });
    result.push(wire);
  }
  return result;
}

const inside = ([x, y], box) =>
  x > box.left - 1 && x < box.left + box.width + 1 && y > box.top - 1 && y < box.top + box.height + 1;

// Let a line start on a box's outline: cut off what is within the box, or lead it there.
function attached(points, box) {
  let i = 0;
  while (i + 1 < points.length && inside(points[i + 1], box)) i++;
  if (i + 1 === points.length) return points;
  const [x, y] = points[i],
    [nx, ny] = points[i + 1];
  const right = box.left + box.width,
    bottom = box.top + box.height;
  if (inside(points[i], box)) {
    const upright = Math.abs(nx - x) < 0.5;
    return [upright ? [x, ny < y ? box.top : bottom] : [nx > x ? right : box.left, y], ...points.slice(i + 1)];
  }
  if (Math.abs(ny - y) < 0.5) {
    // it left at the side
    const side = Math.abs(x - box.left) < Math.abs(x - right) ? box.left : right,
      level = box.top + box.height / 2;
    return [[side, level], [(side + nx) / 2, level], [(side + nx) / 2, y], ...points.slice(1)];
  }
  const at = Math.min(Math.max(x, box.left + 8), right - 8);
  const edge = Math.abs(y - box.top) < Math.abs(y - bottom) ? box.top : bottom;
  const middle = (edge + ny) / 2;
  return [[at, edge], [at, middle], [x, middle], ...points.slice(1)];
}

// A fold outside the frames has moved, so its wires are led anew, up, across and up, where nothing is in the way.
function direct(from, to, corners, boxes) {
  const moved = box => !box.item && !box.framed;
  if ((!moved(from) && !moved(to)) || from.top < to.top + to.height + 8) return null;
  const at = (box, x) =>
    moved(box) ? box.left + box.width / 2 : Math.min(Math.max(x, box.left + 8), box.left + box.width - 8);
  const [x, end] = [at(from, corners[0][0]), at(to, corners.at(-1)[0])];
  const low = from.top,
    high = to.top + to.height,
    level = moved(from) ? Math.max(low - 12, (low + high) / 2) : Math.min(high + 12, (low + high) / 2);
  const through = ({ left, top, width, height }) =>
    [
      [x, level, low],
      [end, high, level],
    ].some(([at, above, below]) => at > left && at < left + width && below > top + 1 && above < top + height - 1);
  if (boxes.some(box => box !== from && box !== to && through(box))) return null;
  return straightened(
    [
      [x, low],
      [x, level],
      [end, level],
      [end, high],
    ],
    from,
  );
}

// A bend of a few points, where a port was squeezed, only looks crooked.
function straightened(points, from) {
  const x = from.item && !from.item.bar ? points[0][0] : points.at(-1)[0];
  const upright = points.length === 4 && points[0][1] !== points[1][1] && points[2][1] !== points[3][1];
  return upright && Math.abs(points[0][0] - points[3][0]) < 10
    ? [
        [x, points[0][1]],
        [x, points[3][1]],
      ]
    : points;
}

function bounds(found) {
  const { boxes, wires, frames, panels, texts } = found;
  let left = Infinity,
    top = Infinity,
    right = -Infinity,
    bottom = -Infinity;
  const grow = (l, t, r, b) => {
    left = Math.min(left, l);
    top = Math.min(top, t);
    right = Math.max(right, r);
    bottom = Math.max(bottom, b);
  };
  for (const box of [...boxes, ...frames, ...panels])
    grow(box.left, box.top, box.left + box.width, box.top + box.height);
  for (const wire of wires) grow(wire.left, wire.top, wire.right, wire.bottom);
  for (const text of texts) grow(text.x, text.y - text.size, text.x, text.y + 4);
  return boxes.length
    ? { left: left - 16, top: top - 16, right: right + 16, bottom: bottom + 16 }
    : { left: 0, top: 0, right: 200, bottom: 100 };
}
