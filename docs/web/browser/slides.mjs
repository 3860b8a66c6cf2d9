// A chapter as slides: each section fills the window; arrow keys turn, Escape ends. Cells still run.

const article = document.querySelector("article[role=main]");
const main = article?.querySelector("section");
let slides = [];
let place = 0;

/** The page in pieces: its head, then each section's text, a piece for each cell with a picture. */
function pieces() {
  const found = [];
  for (const section of [main, ...main.querySelectorAll("section")]) {
    let piece = [];
    for (const child of section.children) {
      if (child.tagName === "SECTION") continue;
      piece.push(child);
      if (child.matches(".cell") && child.querySelector(".cell_output img, .cell_output iframe")) {
        found.push(piece);
        piece = [];
      }
    }
    if (piece.some((child) => child.textContent.trim() && getComputedStyle(child).display !== "none")) found.push(piece);
  }
  return found;
}

function turn(to) {
  place = Math.max(0, Math.min(slides.length - 1, to));
  slides.forEach((slide, number) => slide.forEach((child) => child.classList.toggle("slide-shown", number === place)));
  document.getElementById("slide-count").textContent = `${place + 1} / ${slides.length}`;
  window.scrollTo(0, 0);
}

function end() {
  document.body.classList.remove("presenting");
  slides.flat().forEach((child) => child.classList.remove("slide-shown"));
  document.getElementById("slide-bar").remove();
  slides = [];
  document.getElementById("slides-start").focus();
}

function key(event) {
  if (!slides.length || event.target.matches("textarea, input")) return;
  const moves = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 };
  if (event.key in moves) turn(place + moves[event.key]);
  else if (event.key === "Home") turn(0);
  else if (event.key === "End") turn(slides.length - 1);
  else if (event.key === "Escape") end();
  else return;
  event.preventDefault();
}

function button(label, name, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.setAttribute("aria-label", name);
  made.addEventListener("click", act);
  return made;
}

export function present() {
  slides = pieces();
  document.body.classList.add("presenting");
  const bar = document.createElement("div");
  bar.id = "slide-bar";
  bar.className = "playground-bar";
  const count = document.createElement("span");
  count.id = "slide-count";
  count.setAttribute("aria-live", "polite");
  bar.append(button("◀", "Previous slide", () => turn(place - 1)), count, button("▶", "Next slide", () => turn(place + 1)), button("✕", "End the slides", end));
  document.body.append(bar);
  turn(0);
}

if (main && location.pathname.match(/\/course\/\d\d-/)) {
  document.addEventListener("keydown", key);
  const start = button("Slides", "Show this chapter as slides", present);
  start.id = "slides-start";
  main.querySelector("h1").after(start);
  if (location.hash === "#slides") present();
}
