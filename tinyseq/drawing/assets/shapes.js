// Single things as SVG: boxes, wires, frames, panels. Names are set as text.

const SVG = "http://www.w3.org/2000/svg";
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
const outline = box =>
  `M${box.left.toFixed(1)},${box.top.toFixed(1)}h${box.width.toFixed(1)}v${box.height.toFixed(1)}h-${box.width.toFixed(1)}z`;

// `heat` is the colours of the box's gradient, null where it has none, undefined where gradients are not shown.
function drawBox(box, dim, heat) {
  const { item } = box;
  const title = item ? [item.label, ...(item.tags ?? [])].join(" ") : box.label;
  const plainly = item ? (item.kind === "initial" ? "" : (item.detail ?? "")) : box.below;
  const below = heat === undefined ? plainly : heat === null ? "no gradient yet" : heat.words;
  const cell = box.kind === "cell";
  const x = box.left + box.width / 2,
    y = box.top + box.height / 2;
  const size = !below ? 11.5 : cell ? 15 : 13;
  const classes = [
    "box",
    box.kind,
    heat === null ? "none dashed" : box.look,
    item?.output && "output",
    item?.dashed && "dashed",
    dim && "dim",
  ];
  const group = draw("g", { class: classes.filter(Boolean).join(" "), "data-id": box.id });
  for (const off of item?.behind ? [3, 0] : [0]) {
    const rect = draw("rect", {
      x: (box.left + off).toFixed(1),
      y: (box.top - off).toFixed(1),
      width: box.width.toFixed(1),
      height: box.height.toFixed(1),
      rx: ROUND[box.kind] ?? 5,
    });
    if (heat) Object.assign(rect.style, { fill: heat.fill, stroke: heat.line });
    group.append(rect);
  }
  if (box.kind === "instruction") group.append(write(fitted(title, box.width, 11), box.left + 8, y + 3.8, 11));
  if (box.kind.endsWith("buffer"))
    group.append(
      write(fitted(title, box.width, 8), x, box.top + 11, box.width > 15 ? 8 : 6, { "text-anchor": "middle" }),
    );
  if (group.childElementCount > 1 && !cell && PLAN.test(box.kind)) return group;
  const times = Math.max(1, Math.round(box.width / 900)); // a bar over many steps says its name more than once
  for (let i = 0; i < times; i++) {
    const at = x + ((i - (times - 1) / 2) * box.width) / times;
    group.append(
      write(fitted(title, box.width, size), at, below ? y : y + 4.5, size, { class: "title", "text-anchor": "middle" }),
    );
    if (below)
      group.append(
        write(fitted(below, box.width + (heat === undefined ? 0 : 28), 9), at, y + 12, 9, {
          class: "below",
          "text-anchor": "middle",
        }),
      );
  }
  if (heat) for (const text of group.querySelectorAll("text")) text.style.fill = heat.text;
  if (!item) group.append(write("▸", box.left + 8, box.top + 13, 10, {}));
  return group;
}

// A text cut to what a box has room for.
function fitted(text, width, size) {
  const letters = [...text],
    most = Math.max(3, Math.floor(width / size / 0.5));
  return letters.length <= most ? text : letters.slice(0, most - 1).join("") + "…";
}

function drawWire(wire, dim, heat) {
  const path = draw("path", { class: `wire ${wire.kind}`, d: rounded(wire.points) });
  const group = draw("g", { class: dim ? "edge dim" : "edge", "data-from": wire.from.id, "data-to": wire.to.id }, path);
  if (heat) {
    // a marker would keep its own colour and size
    Object.assign(path.style, { stroke: heat.line, strokeWidth: `${heat.width.toFixed(2)}px` });
    const head = draw("path", { d: arrowHead(wire.points, heat.width) });
    head.style.fill = heat.line;
    group.append(head);
  } else path.setAttribute("marker-end", `url(#arrow-${wire.kind})`);
  if (wire.kind === "cut")
    group.append(...scissors(wire.points).map(points => draw("path", { class: "scissors", d: line(points) })));
  return group;
}

function rounded(points) {
  let path = `M${points[0][0].toFixed(1)},${points[0][1].toFixed(1)}`;
  for (let i = 1; i + 1 < points.length; i++) {
    const [ax, ay] = points[i - 1],
      [x, y] = points[i],
      [bx, by] = points[i + 1];
    const a = Math.hypot(ax - x, ay - y),
      b = Math.hypot(bx - x, by - y),
      r = Math.min(6, a / 2, b / 2);
    if (!r) continue;
    path += `L${(x + ((ax - x) * r) / a).toFixed(1)},${(y + ((ay - y) * r) / a).toFixed(1)}`;
    path += `Q${x.toFixed(1)},${y.toFixed(1)} ${(x + ((bx - x) * r) / b).toFixed(1)},${(y + ((by - y) * r) / b).toFixed(1)}`;
  }
  const [x, y] = points.at(-1);
  return `${path}L${x.toFixed(1)},${y.toFixed(1)}`;
}

function arrowHead(points, width) {
  const [ax, ay] = points.at(-2),
    [x, y] = points.at(-1),
    far = Math.hypot(x - ax, y - ay) || 1;
  const dx = (x - ax) / far,
    dy = (y - ay) / far,
    long = 7 + width,
    half = 2.6 + width * 0.75;
  return (
    line([
      [x, y],
      [x - dx * long - dy * half, y - dy * long + dx * half],
      [x - dx * long + dy * half, y - dy * long - dx * half],
    ]) + "z"
  );
}

// The two strokes of a cut, across the middle of a wire's longest part.
function scissors(points) {
  const length = i => Math.hypot(points[i + 1][0] - points[i][0], points[i + 1][1] - points[i][1]);
  let longest = 0;
  for (let i = 1; i + 1 < points.length; i++) if (length(i) > length(longest)) longest = i;
  const [ax, ay] = points[longest],
    [bx, by] = points[longest + 1];
  const x = (ax + bx) / 2,
    y = (ay + by) / 2,
    flat = Math.abs(bx - ax) > Math.abs(by - ay);
  return [-3, 3].map(d =>
    flat
      ? [
          [x + d - 3, y + 8],
          [x + d + 3, y - 8],
        ]
      : [
          [x - 8, y + d + 3],
          [x + 8, y + d - 3],
        ],
  );
}

const drawLabel = wire =>
  write(wire.edge.label, wire.label.x, wire.label.y, 12, {
    class: `label ${wire.kind}`,
    "text-anchor": wire.label.anchor ?? "start",
  });

// The mark of a delay of one step, in the middle of its wire.
function drawBadge({ badge: [x, y] }) {
  return draw(
    "g",
    { class: "delay" },
    draw("rect", { x: (x - 13).toFixed(1), y: (y - 9).toFixed(1), width: 26, height: 18, rx: 3 }),
    write("z⁻¹", x, y + 4, 11, { "text-anchor": "middle" }),
  );
}

function drawMark({ role, x, y }) {
  return role === "write"
    ? draw("rect", { class: "use write", x: x - 3.5, y: y - 3.5, width: 7, height: 7 })
    : draw("circle", { class: "use read", cx: x, cy: y, r: 3 });
}

function drawFrame(frame, far, dim) {
  const shape = {
    x: frame.left.toFixed(1),
    y: frame.top.toFixed(1),
    width: frame.width.toFixed(1),
    height: frame.height.toFixed(1),
    rx: 10,
  };
  const group = draw("g", { class: `frame ${frame.role ?? "cell"}${dim ? " dim" : ""}` }, draw("rect", shape));
  const folds = (frame.role ?? "cell") === "cell";
  if (!far) group.append(write(`${folds ? "▾ " : ""}${frame.label}`, frame.left + 8, frame.top + 14, 11));
  return group;
}

function drawPanel(panel, far) {
  const group = draw(
    "g",
    { class: "panel weight" },
    draw("rect", {
      x: panel.left.toFixed(1),
      y: panel.top.toFixed(1),
      width: panel.width.toFixed(1),
      height: panel.height.toFixed(1),
      rx: 6,
    }),
  );
  if (!far)
    group.append(
      ...[panel.title, ...panel.lines].map((text, number) =>
        write(text, panel.left + 10, panel.top + 17 + 14 * number, 10),
      ),
    );
  return group;
}
