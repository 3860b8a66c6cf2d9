// The picture on the page: SVG, but only of what is in sight. Far away a kind of thing is one path; near, a node is a
// group of its own. Panning inside what is drawn is one transform.

const MOST_NEAR = 350; // boxes drawn one by one; more of them are drawn as paths
const MOST_AT_ONCE = 200; // so many one by one in the first frame of a new picture; what it leaves out follows
const LEAST_SCALE = 0.32; // below it text cannot be read anyway

class Picture {
  constructor(svg) {
    this.svg = svg;
    this.layers = {};
    this.world = draw("g", {});
    for (const name of ["frames", "buses", "wires", "boxes", "labels", "texts", "marks"]) {
      this.world.append((this.layers[name] = draw("g", { class: name })));
    }
    svg.append(
      draw(
        "defs",
        {},
        ...["page", "state", "cut", "play"].map(kind =>
          draw(
            "marker",
            {
              id: `arrow-${kind}`,
              viewBox: "0 0 7 7",
              refX: 6.6,
              refY: 3.5,
              markerWidth: 9,
              markerHeight: 9,
              markerUnits: "userSpaceOnUse",
              orient: "auto",
            },
            draw("path", {
              d: "M0,0.6 L7,3.5 L0,6.4 L1.6,3.5 z",
              fill: kind === "play" ? "var(--play)" : `var(--${kind}-line)`,
            }),
          ),
        ),
      ),
      this.world,
    );
    this.x = this.y = 0;
    this.scale = 1;
    this.drawn = null; // the part of the world that is drawn
    this.heat = null; // {box, wire}: the colours that stand for gradient norms
    this.focus = null; // {column, of}: everything that is in another column is dimmed
    this.marks = [];
    this.moved = () => {};
  }

  show(shown, anew) {
    this.shown = shown;
    if (anew) this.home();
    this.repaint(MOST_AT_ONCE);
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
    this.aimAtAll();
    this.move();
  }

  // Everything, where that can be read; else as much as fills the window one way, from where time and data begin.
  home() {
    this.aimAtAll();
    if (this.scale < LEAST_SCALE) {
      const { left, top, right, bottom } = this.shown;
      const [width, height] = this.size();
      this.scale = Math.min(Math.max(width / (right - left), height / (bottom - top)), 0.9);
      const wide = (right - left) * this.scale > width + 1,
        tall = (bottom - top) * this.scale > height + 1;
      this.x = wide ? -left * this.scale : width / 2 - ((left + right) / 2) * this.scale;
      this.y = tall ? height - bottom * this.scale : height / 2 - ((top + bottom) / 2) * this.scale;
    }
    this.move();
  }

  aimAtAll() {
    const { left, top, right, bottom } = this.shown;
    const [width, height] = this.size();
    this.scale = Math.min(width / (right - left), height / (bottom - top), 1.6);
    this.x = width / 2 - ((left + right) / 2) * this.scale;
    this.y = height / 2 - ((top + bottom) / 2) * this.scale;
  }

  zoom(factor, at) {
    const [cx, cy] = at ?? this.size().map(side => side / 2);
    const scale = Math.min(Math.max(this.scale * factor, 0.005), 12);
    this.x = cx - ((cx - this.x) * scale) / this.scale;
    this.y = cy - ((cy - this.y) * scale) / this.scale;
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
    const x = rect.left + rect.width / 2,
      y = rect.top + rect.height / 2;
    const sx = x * this.scale + this.x,
      sy = y * this.scale + this.y;
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
    return (
      this.shown.frames.find(
        frame =>
          (frame.role ?? "cell") === "cell" &&
          x > frame.left &&
          x < frame.left + frame.width &&
          y > frame.top &&
          y < frame.top + 20,
      ) ?? null
    );
  }

  // -- painting --

  move() {
    if (this.printing) return;
    this.world.setAttribute(
      "transform",
      `translate(${this.x.toFixed(2)} ${this.y.toFixed(2)}) scale(${this.scale.toFixed(5)})`,
    );
    const seen = this.sight(0);
    const d = this.drawn;
    if (
      !d ||
      seen.left < d.left ||
      seen.right > d.right ||
      seen.top < d.top ||
      seen.bottom > d.bottom ||
      this.scale > d.scale * 2.5 ||
      this.scale < d.scale * 0.6
    ) {
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

  repaint(most = MOST_NEAR) {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.following);
    this.frame = requestAnimationFrame(() => this.paint(false, most));
  }

  paint(everything = false, most = MOST_NEAR) {
    const part = everything ? this.shown : { ...this.sight(0.15), scale: this.scale };
    this.drawn = part;
    const within = rect =>
      rect.left < part.right &&
      rect.left + rect.width > part.left &&
      rect.top < part.bottom &&
      rect.top + rect.height > part.top;
    const boxes = this.shown.boxes.filter(within);
    const wires = this.shown.wires.filter(
      wire => wire.left < part.right && wire.right > part.left && wire.top < part.bottom && wire.bottom > part.top,
    );
    const far = everything ? boxes.length > 4000 : this.scale < LEAST_SCALE || boxes.length > most;
    if (far && boxes.length <= MOST_NEAR && this.scale >= LEAST_SCALE)
      this.following = setTimeout(() => this.paint(), 120);
    this.world.classList.toggle("far", far);
    this.world.style.setProperty("--thin", `${Math.max(1.1, 0.8 / this.scale).toFixed(2)}px`);
    this.fill(
      "frames",
      this.shown.frames
        .filter(within)
        .map(frame => drawFrame(frame, far, this.focus && frame.column !== this.focus.column)),
    );
    this.fill(
      "buses",
      this.shown.panels
        .filter(() => !this.focus)
        .flatMap(panel => panel.wires)
        .map(points => draw("path", { class: "bus", d: line(points) })),
    );
    this.fill(
      "wires",
      far
        ? this.paths(wires, "wire", wire => line(wire.points))
        : wires.map(wire => drawWire(wire, this.dimmed(wire), this.heat?.wire(wire))),
    );
    this.fill(
      "boxes",
      far ? this.paths(boxes, "box", outline) : boxes.map(box => drawBox(box, this.dimmed(box), this.heat?.box(box))),
    );
    this.layers.boxes.append(...this.shown.marks.map(drawMark));
    this.layers.boxes.append(...this.shown.panels.filter(within).map(panel => drawPanel(panel, far)));
    this.fill("labels", far ? [] : wires.filter(wire => wire.label && !this.dimmed(wire)).map(drawLabel));
    if (!far) this.layers.labels.append(...wires.filter(wire => wire.badge).map(drawBadge));
    this.fill(
      "texts",
      this.shown.texts
        .filter(text => text.role !== "note")
        .map(text =>
          write(text.text, text.x, text.y, text.size, { class: "steps", "text-anchor": text.anchor ?? "middle" }),
        ),
    );
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
      const look = `${role} ${heat === null ? "none" : (thing.look ?? thing.kind)}${this.dimmed(thing) ? " dim" : ""}|${heat?.fill ?? ""}|${heat?.line ?? ""}`;
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
      const rects = boxes.map(box =>
        outline({
          left: box.left - grow,
          top: box.top - grow,
          width: box.width + 2 * grow,
          height: box.height + 2 * grow,
        }),
      );
      if (rects.length) shapes.push(draw("path", { class: `mark ${role}`, d: rects.join("") }));
      for (const wire of wires) {
        const flow = role === "flow"; // a gradient runs the other way
        shapes.push(
          draw("path", {
            class: `mark ${role}`,
            d: line(flow ? [...wire.points].reverse() : wire.points),
            ...(flow ? { "marker-end": "url(#arrow-play)" } : {}),
          }),
        );
      }
      if (this.scale > LEAST_SCALE)
        for (const [text, box] of texts) {
          shapes.push(
            write(text, box.left + box.width / 2, box.top - 5, 10, { class: "norm", "text-anchor": "middle" }),
          );
        }
    }
    this.fill("marks", shapes);
  }

  // -- paper --

  // Print the whole picture, not the part in sight.
  beforePrint() {
    this.printing = true;
    cancelAnimationFrame(this.frame);
    const { left, top, right, bottom } = this.shown;
    this.svg.setAttribute("viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
    this.world.removeAttribute("transform");
    this.paint(true);
  }

  afterPrint() {
    this.printing = false;
    this.svg.removeAttribute("viewBox");
    this.drawn = null;
    this.move();
  }
}
