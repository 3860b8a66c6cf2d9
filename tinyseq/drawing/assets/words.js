// The picture in words: details of a node, the contents as a list, and what a screen reader hears. Everything that a
// name can reach is set as text.

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else if (value !== false && value != null) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// A number in few digits; NaN and infinities come as words.
function figure(number, digits = 4) {
  if (number === null || number === undefined) return "no gradient yet";
  if (typeof number !== "number") return number;
  if (number === 0) return "0";
  const size = Math.abs(number);
  return size >= 1e4 || size < 1e-3 ? number.toExponential(digits - 2) : number.toPrecision(digits);
}

const FACTS = {
  value: "value",
  op: "op",
  formula: "formula",
  attributes: "attributes",
  shape: "shape",
  dtype: "dtype",
  gradient: "‖∂L/∂y‖",
  parameters: "parameters",
  flops: "FLOPs",
  source: "source",
  scope: "scope",
  step: "step",
  name: "name",
};

const titleOf = box => (box.item ? [box.item.label, ...(box.item.tags ?? [])].join(" ") : box.label);

const stepOf = (scene, column) => (column == null ? "" : scene.columns[column].label);

// (what, value) of a box, in words.
function factsOf(scene, box) {
  if (!box.item) {
    const ops = new Map();
    for (const { details } of box.members) if (details?.op) ops.set(details.op, (ops.get(details.op) ?? 0) + 1);
    const most = [...ops]
      .sort((a, b) => b[1] - a[1])
      .map(([op, times]) => `${times} ${op}`)
      .join(", ");
    const flops = box.members.reduce((sum, { details }) => sum + (details?.flops ?? 0), 0);
    return [
      ["folded", count(box.members.length, "node")],
      ["ops", most],
      ["scope", box.scope],
      ["step", stepOf(scene, box.column)],
      ["FLOPs", flops ? flops.toLocaleString("en") : ""],
    ].filter(([, value]) => value);
  }
  const details = box.item.details ?? {};
  const rows = (details.more ?? []).map(([key, value]) => [key, value]);
  for (const [key, name] of Object.entries(FACTS)) {
    let value = details[key];
    if (key === "gradient" && (details.measured || value != null))
      value = details.discrete ? "none: integers and truth values have no derivative" : figure(value);
    if (value === undefined || value === null || value === "") continue;
    rows.push([name, typeof value === "number" ? value.toLocaleString("en") : value]);
  }
  if (box.item.change) rows.push(["this pass", box.item.change === "new" ? "made it" : "gave it other inputs"]);
  return rows;
}

const factList = rows =>
  make(
    "dl",
    {},
    ...rows.flatMap(([key, value]) => [
      make("dt", {}, key),
      make("dd", key === "formula" ? { class: "formula" } : {}, value),
    ]),
  );

// What a box takes and gives: [names of sources], [names of targets].
function around(shown, box) {
  const name = other => {
    const title = titleOf(other);
    return other.item?.step != null && other.item.step !== box.item?.step
      ? `${title} (step ${other.item.step})`
      : title;
  };
  const members = box.item ? [box.item] : box.members;
  const others = (edges, end) =>
    members
      .flatMap(item => item[edges])
      .map(edge => shown.of.get(edge[end]))
      .filter(other => other !== box)
      .map(name);
  const from = others("into", "source"),
    to = others("outof", "target");
  return [[...new Set(from)], [...new Set(to)]];
}

const some = names =>
  names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : names.join(", ");

function sentence(scene, shown, box) {
  const [from, to] = around(shown, box);
  const details = box.item?.details ?? {};
  const name = [titleOf(box), details.op && details.op !== box.item.label ? details.op : ""].filter(Boolean).join(", ");
  return (
    [
      name,
      stepOf(scene, box.item ? box.item.column : box.column),
      box.item?.scope ?? "",
      box.item ? details.shape && `shape ${details.shape}` : `folded, ${box.below}`,
      from.length ? `from ${some(from)}` : "",
      to.length ? `to ${some(to)}` : "",
    ]
      .filter(Boolean)
      .join("; ") + "."
  );
}

// -- the backward pass ------------------------------------------------------------------------------------------------

function amount(what, value) {
  const nodes = [
    make(
      "p",
      {},
      value ? `‖${what}‖ = ${figure(value.norm)}` + (value.shape ? `, ${value.shape}` : "") : "no gradient yet",
    ),
  ];
  if (value && Array.isArray(value.values)) nodes.push(numbers(value.values));
  return nodes;
}

function numbers(values) {
  const rows = !Array.isArray(values[0]) ? [values] : Array.isArray(values[0][0]) ? values.flat() : values;
  return make(
    "table",
    {},
    ...rows.map(row => make("tr", {}, ...[row].flat(3).map(number => make("td", {}, figure(number))))),
  );
}

function turnDetails(turn) {
  const nodes = [
    make("h2", {}, `Backward through ${turn.op}`),
    make("p", { class: "formula" }, "g = ∂L/∂y"),
    ...amount("g", turn.arriving),
  ];
  for (const flow of turn.flows) {
    nodes.push(
      make(
        "div",
        { class: "flow" },
        make("p", {}, `to ${flow.argument}: ${flow.name}`),
        make("p", { class: "formula" }, `∂L/∂${flow.argument} = ${flow.derivative}`),
        ...amount(`∂L/∂${flow.argument}`, flow.amount),
      ),
    );
  }
  return nodes;
}

function totals(playback) {
  return [
    make("p", { class: "name" }, "Gradients of the weights"),
    make(
      "table",
      {},
      ...playback.weights.map(weight =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, weight.name),
          make("td", {}, weight.amount ? figure(weight.amount.norm) : "no gradient yet"),
        ),
      ),
    ),
  ];
}

// -- contents ---------------------------------------------------------------------------------------------------------

// Scopes, each with a handle that folds it at every step.
function scopeList(scene, folded, fold) {
  const paths = [...scene.scopes.keys()].sort();
  return make(
    "ul",
    { "aria-label": "Scopes" },
    ...paths.map(path => {
      const keys = keysOfScope(scene, path);
      const open = !keys.every(key => folded.has(key));
      return make(
        "li",
        {},
        make(
          "button",
          {
            class: "fold",
            "aria-expanded": String(open),
            "aria-label": `${open ? "Fold" : "Unfold"} ${path}`,
            "data-scope": path,
            onclick: () => fold(keys, open, path),
          },
          open ? "▾" : "▸",
        ),
        "\u00a0".repeat(3 * (path.split("/").length - 1)),
        path.split("/").at(-1),
        make("span", { class: "more" }, `  ${count(scene.scopes.get(path).length, "op")}`),
      );
    }),
  );
}

// Every node as text: what is outside time steps, then each step. A list is filled when it is opened.
function nodeList(scene, choose) {
  const parts = [[null, "Outside time steps"], ...scene.columns.map((column, index) => [index, column.label])];
  return make(
    "ul",
    { "aria-label": "Nodes by time step" },
    ...parts.map(([column, label]) => {
      const items = scene.byColumn.get(column);
      if (!items) return "";
      const list = make(
        "details",
        { "data-column": column ?? "none" },
        make("summary", {}, label, make("span", { class: "more" }, `  ${count(items.length, "node")}`)),
      );
      list.addEventListener("toggle", () => {
        if (list.open && list.children.length === 1) {
          list.append(
            make(
              "ul",
              {},
              ...items.map(item =>
                make(
                  "li",
                  {},
                  make(
                    "button",
                    { "data-item": item.id, onclick: () => choose(item) },
                    [item.label, ...(item.tags ?? [])].join(" "),
                    make("span", { class: "more" }, `  ${item.detail ?? ""}`),
                  ),
                ),
              ),
            ),
          );
        }
      });
      return make("li", {}, list);
    }),
  );
}
