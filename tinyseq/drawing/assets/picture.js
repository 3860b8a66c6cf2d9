// The picture on the page: SVG, but only of what is in sight. Far away a kind of thing is one path; near, a node is a
// group of its own. Panning inside what is drawn is one transform.

const SVG = "http://www.w3.org/2000/svg";
const MOST_NEAR = 500; // boxes drawn one by one; more of them are drawn as paths
const LEAST_SCALE = 0.32; // below it text cannot be read anyway
const PLAN = /^instruction$|buffer$/;
const ROUND = { cell: 10, initial: 12, input: 12, constant: 12 };

function draw(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const write = (text, x, y, size, attributes = {}) =>
  draw("text", { x: x.toFixed(1), y: y.toFixed(1), "font-size": size, ...attributes }, text);

const line = points => "M" + points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
const outline = box => `M${box.left.toFixed(1)},${box.top.toFixed(1)}h${box.width.toFixed(1)}v${box.height.toFixed(1)}h-${box.width.toFixed(1)}z`;

class Picture {
  constructor(svg) {
    this.svg = svg;
    this.layers = {};
    this.world = draw("g", {});
    for (const name of ["frames", "buses", "wires", "boxes", "labels", "texts", "marks"]) {
      this.world.append((this.layers[name] = draw("g", { class: name })));
    }
    svg.append(draw("defs", {}, ...["page", "state", "cut", "play"].map(kind =>
      draw("marker", { id: `arrow-${kind}`, viewBox: "0 0 7 7", refX: 6.6, refY: 3.5, markerWidth: 9, markerHeight: 9,
        markerUnits: "userSpaceOnUse", orient: "auto" },
      draw("path", { d: "M0,0.6 L7,3.5 L0,6.4 L1.6,3.5 z", fill: kind === "play" ? "var(--play)" : `var(--${kind}-line)` })))), this.world);
    this.x = this.y = 0;
    this.scale = 1;
    this.drawn = null; // the part of the world that is drawn
    this.heat = null; // {box, wire}: the colours that stand for gradient norms
    this.focus = null; // {column, of}: everything that is in another column is dimmed
    this.marks = [];
    this.moved = () => {};
  }

  show(shown) {
    this.shown = shown;
    this.repaint();
  }

  // The ruler covers the rest. The size is kept: to ask for it after a change makes the browser lay out the page.
  size() {
    this.extent ??= [this.svg.clientWidth || 800, (this.svg.clientHeight || 600) - 25];
    return this.extent;
  }

  resized() {
    this.extent = null;
    this.move();
  }

  // -- where we look --

  fit() {
    const { left, top, right, bottom } = this.shown;
    const [width, height] = this.size();
    this.scale = Math.min(width / (right - left), height / (bottom - top), 1.6);
    this.x = width / 2 - (left + right) / 2 * this.scale;
    this.y = height / 2 - (top + bottom) / 2 * this.scale;
    this.move();
  }

  // Everything where that can be read; of a long sequence its beginning, as high as the window.
  home() {
    this.fit();
    if (this.scale >= LEAST_SCALE) return;
    const { left, top, bottom } = this.shown;
    const [, height] = this.size();
    this.scale = Math.min(height / (bottom - top), 1.1);
    this.x = -left * this.scale;
    this.y = height / 2 - (top + bottom) / 2 * this.scale;
    this.move();
  }

  zoom(factor, at) {
    const [cx, cy] = at ?? this.size().map(side => side / 2);
    const scale = Math.min(Math.max(this.scale * factor, 0.005), 12);
    this.x = cx - (cx - this.x) * scale / this.scale;
    this.y = cy - (cy - this.y) * scale / this.scale;
    this.scale = scale;
    this.move();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.move();
  }

  // Bring a rectangle into sight; closer only where its text could not be read.
  reveal(rect, least = 0.7) {
    const [width, height] = this.size();
    const x = rect.left + rect.width / 2, y = rect.top + rect.height / 2;
    const sx = x * this.scale + this.x, sy = y * this.scale + this.y;
    if (this.scale >= least && sx > 60 && sx < width - 60 && sy > 40 && sy < height - 40) return;
    this.scale = Math.max(this.scale, least);
    this.x = width / 2 - x * this.scale;
    this.y = height / 2 - y * this.scale;
    this.move();
  }

  toWorld(px, py) {
    return [(px - this.x) / this.scale, (py - this.y) / this.scale];
  }

  boxAt(px, py) {
    const point = this.toWorld(px, py);
    return this.shown.boxes.findLast(box => inside(point, box)) ?? null;
  }

  // The head of a frame is its handle.
  frameAt(px, py) {
    const [x, y] = this.toWorld(px, py);
    return this.shown.frames.find(frame => (frame.role ?? "cell") === "cell" && x > frame.left && x < frame.left + frame.width && y > frame.top && y < frame.top + 20) ?? null;
  }

  // -- painting --

  move() {
    this.world.setAttribute("transform", `translate(${this.x.toFixed(2)} ${this.y.toFixed(2)}) scale(${this.scale.toFixed(5)})`);
    const seen = this.sight(0);
    const d = this.drawn;
    if (!d || seen.left < d.left || seen.right > d.right || seen.top < d.top || seen.bottom > d.bottom || this.scale > d.scale * 2.5 || this.scale < d.scale * 0.6) {
      this.repaint();
    }
    this.moved();
  }

  sight(margin) {
    const [width, height] = this.size();
    const [left, top] = this.toWorld(-width * margin, -height * margin);
    const [right, bottom] = this.toWorld(width * (1 + margin), (height + 25) * (1 + margin));
    return { left, top, right, bottom };
  }

  repaint() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  paint(everything = false) {
    const part = everything ? this.shown : { ...this.sight(0.3), scale: this.scale };
    this.drawn = part;
    const within = rect => rect.left < part.right && rect.left + rect.width > part.left && rect.top < part.bottom && rect.top + rect.height > part.top;
    const boxes = this.shown.boxes.filter(within);
    const wires = this.shown.wires.filter(wire => wire.left < part.right && wire.right > part.left && wire.top < part.bottom && wire.bottom > part.top);
    const far = everything ? boxes.length > 4000 : this.scale < LEAST_SCALE || boxes.length > MOST_NEAR;
    this.world.classList.toggle("far", far);
    this.world.style.setProperty("--thin", `${Math.max(1.1, 0.8 / this.scale).toFixed(2)}px`);
    this.fill("frames", this.shown.frames.filter(within).map(frame => drawFrame(frame, far, this.focus && frame.column !== this.focus.column)));
    this.fill("buses", this.shown.panels.filter(() => !this.focus).flatMap(panel => panel.wires).map(points => draw("path", { class: "bus", d: line(points) })));
    this.fill("wires", far ? this.paths(wires, "wire", wire => line(wire.points)) : wires.map(wire => drawWire(wire, this.dimmed(wire), this.heat?.wire(wire))));
    this.fill("boxes", far ? this.paths(boxes, "box", outline) : boxes.map(box => drawBox(box, this.dimmed(box), this.heat?.box(box))));
    this.layers.boxes.append(...this.shown.marks.map(drawMark));
    this.layers.boxes.append(...this.shown.panels.filter(within).map(panel => drawPanel(panel, far)));
    this.fill("labels", far ? [] : wires.filter(wire => wire.label && !this.dimmed(wire)).map(drawLabel));
    if (!far) this.layers.labels.append(...wires.filter(wire => wire.badge).map(drawBadge));
    this.fill("texts", this.shown.texts.filter(text => text.role !== "note").map(text => write(text.text, text.x, text.y, text.size, { class: "steps", "text-anchor": text.anchor ?? "middle" })));
    this.paintMarks();
  }

  fill(layer, children) {
    this.layers[layer].replaceChildren(...children);
  }

  // What is outside time steps stays lit; so do the wires that come into the step in focus, or leave it.
  dimmed(thing) {
    if (!this.focus) return false;
    const { column, of } = this.focus;
    if (!thing.edge) return of(thing) !== column && of(thing) !== null;
    const ends = [of(thing.from), of(thing.to)];
    return !ends.includes(column) && ends.some(end => end !== null);
  }

  // Many things as few paths, one for each look.
  paths(things, role, shape) {
    const looks = new Map();
    for (const thing of things) {
      const heat = this.heat?.[role](thing);
      const look = `${role} ${heat === null ? "none" : thing.look ?? thing.kind}${this.dimmed(thing) ? " dim" : ""}|${heat?.fill ?? ""}|${heat?.line ?? ""}`;
      if (!looks.has(look)) looks.set(look, []);
      looks.get(look).push(shape(thing));
    }
    return [...looks].map(([look, shapes]) => {
      const [name, fill, line] = look.split("|");
      const path = draw("path", { d: shapes.join("") });
      if (role === "box" && fill) Object.assign(path.style, { fill, stroke: line });
      if (role === "wire" && line) path.style.stroke = line;
      if (role === "box") return draw("g", { class: name }, path);
      path.setAttribute("class", name);
      return path;
    });
  }

  // Marks lie over everything, whatever the distance: {role, boxes, wires, texts}.
  mark(marks) {
    this.marks = marks;
    this.paintMarks();
  }

  paintMarks() {
    if (!this.drawn) return;
    this.world.style.setProperty("--mark", `${Math.max(1.6, 1.4 / this.scale).toFixed(2)}px`);
    const grow = Math.max(2, 2 / this.scale);
    const shapes = [];
    for (const { role, boxes = [], wires = [], texts = [] } of this.marks) {
      const rects = boxes.map(box => outline({ left: box.left - grow, top: box.top - grow, width: box.width + 2 * grow, height: box.height + 2 * grow }));
      if (rects.length) shapes.push(draw("path", { class: `mark ${role}`, d: rects.join("") }));
      for (const wire of wires) {
        const flow = role === "flow"; // a gradient runs the other way
        shapes.push(draw("path", { class: `mark ${role}`, d: line(flow ? [...wire.points].reverse() : wire.points),
          ...(flow ? { "marker-end": "url(#arrow-play)" } : {}) }));
      }
      if (this.scale > LEAST_SCALE) for (const [text, box] of texts) {
        shapes.push(write(text, box.left + box.width / 2, box.top - 5, 10, { class: "norm", "text-anchor": "middle" }));
      }
    }
    this.fill("marks", shapes);
  }

  // -- paper --

  // Print the whole picture, not the part in sight.
  beforePrint() {
    const { left, top, right, bottom } = this.shown;
    this.svg.setAttribute("viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
    this.world.removeAttribute("transform");
    this.paint(true);
  }

  afterPrint() {
    this.svg.removeAttribute("viewBox");
    this.drawn = null;
    this.move();
  }
}

// -- single things ----------------------------------------------------------------------------------------------------

// `heat` is the colours of the box's gradient, null where it has none, undefined where gradients are not shown.
function drawBox(box, dim, heat) {
  const { item } = box;
  const title = item ? [item.label, ...(item.tags ?? [])].join(" ") : box.label;
  const plainly = item ? item.kind === "initial" ? "" : item.detail ?? "" : box.below;
  const below = heat === undefined ? plainly : heat === null ? "no gradient yet" : heat.words;
  const cell = box.kind === "cell";
  const x = box.left + box.width / 2, y = box.top + box.height / 2;
  const size = !below ? 11.5 : cell ? 15 : 13;
  const classes = ["box", box.kind, heat === null ? "none dashed" : box.look, item?.output && "output", item?.dashed && "dashed", dim && "dim"];
  const group = draw("g", { class: classes.filter(Boolean).join(" "), "data-id": box.id });
  for (const off of item?.behind ? [3, 0] : [0]) {
    const rect = draw("rect", { x: (box.left + off).toFixed(1), y: (box.top - off).toFixed(1), width: box.width.toFixed(1), height: box.height.toFixed(1), rx: ROUND[box.kind] ?? 5 });
    if (heat) Object.assign(rect.style, { fill: heat.fill, stroke: heat.line });
    group.append(rect);
  }
  if (box.kind === "instruction") group.append(write(fitted(title, box.width, 11), box.left + 8, y + 3.8, 11));
  if (box.kind.endsWith("buffer")) group.append(write(fitted(title, box.width, 8), x, box.top + 11, box.width > 15 ? 8 : 6, { "text-anchor": "middle" }));
  if (group.childElementCount > 1 && !cell && PLAN.test(box.kind)) return group;
  const times = Math.max(1, Math.round(box.width / 900)); // a bar over many steps says its name more than once
  for (let i = 0; i < times; i++) {
    const at = x + (i - (times - 1) / 2) * box.width / times;
    group.append(write(fitted(title, box.width, size), at, below ? y : y + 4.5, size, { class: "title", "text-anchor": "middle" }));
    if (below) group.append(write(fitted(below, box.width + (heat === undefined ? 0 : 28), 9), at, y + 12, 9, { class: "below", "text-anchor": "middle" }));
  }
  if (heat) for (const text of group.querySelectorAll("text")) text.style.fill = heat.text;
  if (!item) group.append(write("▸", box.left + 8, box.top + 13, 10, {}));
  return group;
}

// A text cut to what a box has room for.
function fitted(text, width, size) {
  const letters = [...text], most = Math.max(3, Math.floor(width / size / 0.5));
  return letters.length <= most ? text : letters.slice(0, most - 1).join("") + "…";
}

function drawWire(wire, dim, heat) {
  const path = draw("path", { class: `wire ${wire.kind}`, d: rounded(wire.points) });
  const group = draw("g", { class: dim ? "edge dim" : "edge", "data-from": wire.from.id, "data-to": wire.to.id }, path);
  if (heat) { // a marker would keep its own colour and size
    Object.assign(path.style, { stroke: heat.line, strokeWidth: `${heat.width.toFixed(2)}px` });
    const head = draw("path", { d: arrowHead(wire.points, heat.width) });
    head.style.fill = heat.line;
    group.append(head);
  } else path.setAttribute("marker-end", `url(#arrow-${wire.kind})`);
  if (wire.kind === "cut") group.append(...scissors(wire.points).map(points => draw("path", { class: "scissors", d: line(points) })));
  return group;
}

function rounded(points) {
  let path = `M${points[0][0].toFixed(1)},${points[0][1].toFixed(1)}`;
  for (let i = 1; i + 1 < points.length; i++) {
    const [ax, ay] = points[i - 1], [x, y] = points[i], [bx, by] = points[i + 1];
    const a = Math.hypot(ax - x, ay - y), b = Math.hypot(bx - x, by - y), r = Math.min(6, a / 2, b / 2);
    if (!r) continue;
    path += `L${(x + (ax - x) * r / a).toFixed(1)},${(y + (ay - y) * r / a).toFixed(1)}`;
    path += `Q${x.toFixed(1)},${y.toFixed(1)} ${(x + (bx - x) * r / b).toFixed(1)},${(y + (by - y) * r / b).toFixed(1)}`;
  }
  const [x, y] = points.at(-1);
  return `${path}L${x.toFixed(1)},${y.toFixed(1)}`;
}

function arrowHead(points, width) {
  const [ax, ay] = points.at(-2), [x, y] = points.at(-1), far = Math.hypot(x - ax, y - ay) || 1;
  const dx = (x - ax) / far, dy = (y - ay) / far, long = 7 + width, half = 2.6 + width * 0.75;
  return line([[x, y], [x - dx * long - dy * half, y - dy * long + dx * half], [x - dx * long + dy * half, y - dy * long - dx * half]]) + "z";
}

// The two strokes of a cut, across the middle of a wire's longest part.
function scissors(points) {
  const length = i => Math.hypot(points[i + 1][0] - points[i][0], points[i + 1][1] - points[i][1]);
  let longest = 0;
  for (let i = 1; i + 1 < points.length; i++) if (length(i) > length(longest)) longest = i;
  const [ax, ay] = points[longest], [bx, by] = points[longest + 1];
  const x = (ax + bx) / 2, y = (ay + by) / 2, flat = Math.abs(bx - ax) > Math.abs(by - ay);
  return [-3, 3].map(d => flat ? [[x + d - 3, y + 8], [x + d + 3, y - 8]] : [[x - 8, y + d + 3], [x + 8, y + d - 3]]);
}

const drawLabel = wire =>
  write(wire.edge.label, wire.label.x, wire.label.y, 12, { class: `label ${wire.kind}`, "text-anchor": wire.label.anchor ?? "start" });

// The mark of a delay of one step, in the middle of its wire.
function drawBadge({ badge: [x, y] }) {
  return draw("g", { class: "delay" }, draw("rect", { x: (x - 13).toFixed(1), y: (y - 9).toFixed(1), width: 26, height: 18, rx: 3 }),
    write("z⁻¹", x, y + 4, 11, { "text-anchor": "middle" }));
}

function drawMark({ role, x, y }) {
  return role === "write" ? draw("rect", { class: "use write", x: x - 3.5, y: y - 3.5, width: 7, height: 7 })
    : draw("circle", { class: "use read", cx: x, cy: y, r: 3 });
}

function drawFrame(frame, far, dim) {
  const shape = { x: frame.left.toFixed(1), y: frame.top.toFixed(1), width: frame.width.toFixed(1), height: frame.height.toFixed(1), rx: 10 };
  const group = draw("g", { class: `frame ${frame.role ?? "cell"}${dim ? " dim" : ""}` }, draw("rect", shape));
  const folds = (frame.role ?? "cell") === "cell";
  if (!far) group.append(write(`${folds ? "▾ " : ""}${frame.label}`, frame.left + 8, frame.top + 14, 11));
  return group;
}

function drawPanel(panel, far) {
  const group = draw("g", { class: "panel weight" }, draw("rect", { x: panel.left.toFixed(1), y: panel.top.toFixed(1),
    width: panel.width.toFixed(1), height: panel.height.toFixed(1), rx: 6 }));
  if (!far) group.append(...[panel.title, ...panel.lines].map((text, number) => write(text, panel.left + 10, panel.top + 17 + 14 * number, 10)));
  return group;
}
