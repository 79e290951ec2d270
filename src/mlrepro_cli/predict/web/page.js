"use strict";
// Posts dropped pictures to the server of this page, and shows the labels that it answers.

const AT_FIRST = 10;
const drop = document.getElementById("drop");
const file = document.getElementById("file");
let about = null;

function element(tag, style, text) {
  const made = document.createElement(tag);
  made.className = style;
  made.textContent = text;
  return made;
}

function say(text) {
  const note = document.getElementById("note");
  note.textContent = text;
  note.hidden = !text;
}

function megabytes(bytes) {
  return `${Math.round(bytes / 1e5) / 10} MB`;
}

async function start() {
  try {
    about = await (await fetch("about")).json();
  } catch (error) {
    say("The server does not answer. Is mlrepro predict --serve still running?");
    return;
  }
  document.title = `${about.name}: labels of a picture`;
  document.getElementById("title").textContent = document.title;
  document.getElementById("limit").textContent =
    `${about.classes.length} labels; files up to ${megabytes(about.most_bytes)}; nothing is kept`;
}

// One after the other: the answers come in the order of the pictures.
let last = Promise.resolve();

function take(files) {
  for (const picture of files) {
    const card = newCard(picture);
    last = last.then(() => ask(picture, card));
  }
}

function newCard(picture) {
  const card = element("div", "answer", "");
  const image = new Image();
  image.alt = "";
  image.src = URL.createObjectURL(picture);
  image.addEventListener("error", () => image.remove());
  const text = element("div", "text", "");
  text.append(element("div", "name", picture.name || "pasted"), element("div", "labels", "..."));
  card.append(image, text);
  document.getElementById("answers").prepend(card);
  return text;
}

async function ask(picture, card) {
  const shown = card.querySelector(".labels");
  if (about && picture.size > about.most_bytes) {
    const most = megabytes(about.most_bytes);
    fail(shown, `${megabytes(picture.size)}, and ${most} are the most: make the picture smaller`);
    return;
  }
  try {
    const response = await fetch("label", { method: "POST", body: picture });
    const answer = await response.json();
    if (answer.error) fail(shown, answer.error);
    else show(card, shown, answer);
  } catch (error) {
    fail(shown, "The server does not answer. Is mlrepro predict --serve still running?");
  }
}

function fail(shown, text) {
  shown.textContent = text;
  shown.classList.add("error");
}

function show(card, shown, answer) {
  shown.textContent = answer.labels.length ? answer.labels.join(", ") : "none of the labels";
  const scores = Object.entries(answer.scores).sort(([, a], [, b]) => b - a);
  const marked = new Set(answer.labels);
  const rows = scores.map(([label, value]) => score(label, value, marked.has(label)));
  // All that are marked, and the best of the others.
  const first = rows.filter((row, place) => place < AT_FIRST || row.classList.contains("marked"));
  const others = rows.filter((row) => !first.includes(row));
  card.append(...first);
  if (!others.length) return;

  const more = element("button", "", `${others.length} more`);
  more.type = "button";
  more.addEventListener("click", () => more.replaceWith(...others));
  card.append(more);
}

function score(label, value, marked) {
  const row = element("div", marked ? "score marked" : "score", "");
  const meter = document.createElement("meter");
  meter.value = value;
  const threshold = about && about.thresholds[about.classes.indexOf(label)];
  row.title = threshold === null ? "never marked" : `marked from ${threshold.toFixed(3)}`;
  row.append(
    element("span", "mark", marked ? "✓" : ""),
    element("span", "label", label),
    meter,
    element("span", "value", value.toFixed(3)),
  );
  return row;
}

for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, () => drop.classList.remove("over"));
}
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));
file.addEventListener("change", () => {
  take([...file.files]);
  file.value = "";
});
start();
