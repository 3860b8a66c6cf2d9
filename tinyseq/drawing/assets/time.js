// Time: the focus on a step, the backward pass as it is played, and the compiler's passes.

// -- time -------------------------------------------------------------------------------------------------------------

function focusStep(column) {
  state.step = column;
  const { columns } = state.scene;
  const name = column === null ? "all" : columns[column].label;
  $("step").value = column === null ? 0 : column + 1;
  $("step").setAttribute("aria-valuetext", column === null ? "all steps" : name);
  $("step-name").textContent = name;
  marks();
  if (column !== null) {
    const { left, right } = shown.columns[column];
    const [width] = picture.size();
    const x = ((left + right) / 2) * picture.scale + picture.x;
    if (x < 40 || x > width - 40) picture.pan(width / 2 - x, 0);
  }
  picture.repaint();
  ruler();
}

function ruler() {
  const buttons = [];
  let end = -Infinity;
  const [width] = picture.size();
  const centre = column => ((column.left + column.right) / 2) * picture.scale + picture.x;
  const gaps = shown.columns.slice(1).map((column, index) => centre(column) - centre(shown.columns[index]));
  const brief = Math.min(...gaps) < 76; // only the numbers, where there is little room
  for (const [index, column] of shown.columns.entries()) {
    const x = centre(column);
    const label = brief && column.step != null ? String(column.step) : column.label;
    const wide = label.length * 7.2 + 30;
    const now = index === state.step;
    if (x < 0 || x > width || (x - wide / 2 < end && !now)) continue;
    end = x + wide / 2;
    const keys = keysOfStep(state.scene, index);
    const open = keys.some(key => !state.folded.has(key));
    const button = make(
      "button",
      {
        class: now ? "now" : false,
        "data-column": index,
        "aria-expanded": keys.length ? String(open) : false,
        tabindex: -1,
        "aria-label": column.label,
        onclick: () => foldStep(index),
      },
      `${keys.length ? (open ? "▾ " : "▸ ") : ""}${label}`,
    );
    button.style.transform = `translateX(${x.toFixed(1)}px) translateX(-50%)`;
    buttons.push(button);
  }
  $("ruler").replaceChildren(...buttons);
}

// -- the backward pass ------------------------------------------------------------------------------------------------

function goToTurn(number) {
  const { playback } = state.scene;
  if (!playback) return;
  state.turn = Math.min(Math.max(number, 0), playback.steps.length);
  if (state.turn === playback.steps.length) pause();
  const turn = state.turn ? playback.steps[state.turn - 1] : null;
  const item = turn && state.scene.byId.get(turn.item);
  const text = turn
    ? `${state.turn} of ${playback.steps.length}: ${turn.op}${item.step == null ? "" : `, step ${item.step}`}`
    : `${playback.steps.length} steps`;
  $("turn").value = state.turn;
  $("turn").setAttribute("aria-valuetext", text);
  $("turn-name").textContent = text;
  choose(turn ? shown.of.get(turn.item) : null, { speak: false, reveal: Boolean(turn) });
  if (turn && !state.timer) {
    const flows = turn.flows
      .map(
        flow =>
          `to ${flow.argument}, ${flow.name}: ${flow.derivative}${flow.amount ? `, norm ${figure(flow.amount.norm)}` : ""}`,
      )
      .join("; ");
    say(
      `Backward ${text}; ${turn.arriving ? `gradient of norm ${figure(turn.arriving.norm)} arrives` : "no gradient yet"}; ${flows}.`,
    );
  }
}

function play() {
  if (state.timer) return pause();
  if (state.turn === state.scene.playback.steps.length) goToTurn(0);
  state.timer = setInterval(() => goToTurn(state.turn + 1), 700);
  playing(true);
  goToTurn(state.turn + 1);
}

function pause() {
  clearInterval(state.timer);
  state.timer = null;
  playing(false);
}

function playing(on) {
  $("play").setAttribute("aria-pressed", on);
  $("play").textContent = on ? "❚❚" : "▶";
}

// -- passes -----------------------------------------------------------------------------------------------------------

function openScene(index, fit = true) {
  const scene = doc.scenes[Math.min(Math.max(index, 0), doc.scenes.length - 1)];
  pause();
  Object.assign(state, { scene, chosen: null, hover: null, turn: 0, step: null });
  const at = doc.scenes.indexOf(scene);
  $("pass").value = at;
  $("pass-back").disabled = at === 0;
  $("pass-on").disabled = at === doc.scenes.length - 1;
  $("step").max = scene.columns.length;
  $("time").hidden = scene.columns.length < 2;
  $("ruler").hidden = !scene.columns.length;
  $("backward").hidden = !scene.playback;
  $("turn").max = scene.playback?.steps.length ?? 0;
  $("notes").textContent = [...scene.notes, scene.playback?.note].filter(Boolean).join(" · ");
  $("summary").textContent = scene.summary;
  const fresh = ["new", "rewired"]
    .map(role => [scene.items.filter(item => item.change === role).length, role])
    .filter(([number]) => number);
  $("changed").textContent = fresh.map(([number, role]) => `${number} ${role}`).join(", ");
  $("title").textContent = document.title = [doc.title, scene.title].find(Boolean) ?? "Computational graph";
  $("heat").hidden = scaleOf(scene) === null;
  state.heat = Boolean(scene.scale);
  $("heat").setAttribute("aria-pressed", state.heat);
  document.querySelector("footer").hidden = $("time").hidden && $("backward").hidden && !$("notes").textContent;
  state.hits = [];
  $("nodes").replaceChildren(nodeList(scene, goTo));
  show(fit);
  search($("find").value);
  focusStep(null);
  goToTurn(0);
  details();
}
