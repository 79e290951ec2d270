"use strict";
// The page of label errors: shows suspects, keeps answers in this browser, writes them to a CSV.

const data = JSON.parse(document.getElementById("data").textContent);
const AT_ONCE = 400;
const KINDS = { "0": "missing", "1": "wrong", "-1": "unknown" };
const GIVEN = { "0": "no", "1": "yes", "-1": "unknown" };
const ANSWERS = [
  { answer: "yes", text: "there", key: "y", style: "there" },
  { answer: "no", text: "not there", key: "n", style: "not-there" },
  { answer: "unknown", text: "can't tell", key: "u", style: "unsure" },
];

// ---- Suspects -----------------------------------------------------------------------------------

const suspects = data.suspects.map(([picture, label, given, probability, likely], place) => ({
  picture: data.pictures[picture],
  label: data.classes[label],
  kind: KINDS[given],
  given: GIVEN[given],
  probability,
  likely,
  place,
}));

// A character that steers what is shown, as `\u202e` and not as itself.
function visible(text) {
  const steering = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;
  return text.replace(steering, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

// ---- Answers, kept in this browser --------------------------------------------------------------

// Other labels, or other pictures, are other questions.
const STORE = `mlrepro-answers:${data.name}:${data.digest}`;
let answers = {};
try {
  answers = JSON.parse(localStorage.getItem(STORE)) || {};
} catch (error) {
  say("This browser keeps nothing for this page: download your answers before you close it.");
}

function key(suspect) {
  return JSON.stringify([suspect.picture.name, suspect.label]);
}

function answerOf(suspect) {
  return answers[key(suspect)] || "";
}

function setAnswer(suspect, answer) {
  if (answer) answers[key(suspect)] = answer;
  else delete answers[key(suspect)];
  try {
    localStorage.setItem(STORE, JSON.stringify(answers));
  } catch (error) {
    say("This browser keeps no more: download your answers before you close the page.");
  }
  showProgress();
}

function say(text) {
  const note = document.getElementById("note");
  note.textContent = text;
  note.hidden = false;
}

function answeredSuspects() {
  return suspects.filter(answerOf);
}

function field(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv() {
  const rows = answeredSuspects().map((suspect) =>
    [suspect.picture.name, suspect.label, suspect.given, answerOf(suspect)].map(field).join(","),
  );
  return ["image,label,given,answer", ...rows].join("\r\n") + "\r\n";
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
  link.download = "answers.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// ---- What is shown ------------------------------------------------------------------------------

const tools = {};
for (const name of ["label", "kind", "split", "answered", "sort", "likely"]) {
  tools[name] = document.getElementById(name);
}

function fill(select, options) {
  for (const [value, text] of options) select.append(new Option(text, value));
}

function counted(of) {
  const counts = new Map();
  for (const suspect of suspects) counts.set(of(suspect), (counts.get(of(suspect)) || 0) + 1);
  return counts;
}

function fillTools() {
  const labels = counted((suspect) => suspect.label);
  const named = [...labels].sort(([a], [b]) => a.localeCompare(b));
  fill(tools.label, [["", "all"]]);
  // With a sign before it, for the empty value means all.
  named.forEach(([label, count]) => fill(tools.label, [[`=${label}`, `${visible(label)} (${count})`]]));

  const kinds = counted((suspect) => suspect.kind);
  fill(tools.kind, [["", "all"]]);
  for (const [kind, text] of [["missing", "missing?"], ["wrong", "wrong?"], ["unknown", "not known"]]) {
    if (kinds.get(kind)) fill(tools.kind, [[kind, `${text} (${kinds.get(kind)})`]]);
  }

  fill(tools.split, [["", "all"], ["train", "train"], ["val", "val"], ["test", "test"]]);
  fill(tools.answered, [["", "all"], ["no", "to answer"], ["yes", "answered"]]);
  fill(tools.sort, [
    ["suspicion", "suspicion"],
    ["picture", "suspicion of the picture"],
    ["name", "name of the picture"],
  ]);
}

const ORDERS = {
  suspicion: (a, b) => a.place - b.place,
  picture: (a, b) => b.picture.suspicion - a.picture.suspicion || ORDERS.name(a, b),
  name: (a, b) => a.picture.name.localeCompare(b.picture.name) || a.place - b.place,
};

function chosen() {
  const answered = tools.answered.value;
  return suspects
    .filter((suspect) => !tools.label.value || `=${suspect.label}` === tools.label.value)
    .filter((suspect) => !tools.kind.value || suspect.kind === tools.kind.value)
    .filter((suspect) => !tools.split.value || suspect.picture.split === tools.split.value)
    .filter((suspect) => !tools.likely.checked || suspect.likely)
    .filter((suspect) => !answered || Boolean(answerOf(suspect)) === (answered === "yes"))
    .sort(ORDERS[tools.sort.value]);
}

let first = 0;

function show() {
  const all = chosen();
  if (first >= all.length) first = 0;
  const page = all.slice(first, first + AT_ONCE);

  const cards = document.getElementById("cards");
  cards.replaceChildren(...page.map(card));
  if (!page.length) cards.append(element("p", "empty", "Nothing here."));

  const range = page.length ? `${first + 1} to ${first + page.length} of ${all.length}` : "0";
  document.getElementById("range").textContent = range;
  document.getElementById("previous").disabled = first === 0;
  document.getElementById("next").disabled = first + AT_ONCE >= all.length;
  showProgress();
}

function showProgress() {
  const answered = answeredSuspects();
  const changes = answered.filter((suspect) => answerOf(suspect) !== suspect.given).length;
  const text = `${answered.length} of ${suspects.length} answered, ${changes} change a label`;
  document.getElementById("progress").textContent = text;
  document.getElementById("download").disabled = answered.length === 0;
}

function turn(by) {
  first = Math.max(0, first + by * AT_ONCE);
  show();
  scrollTo(0, 0);
}

// ---- A card -------------------------------------------------------------------------------------

function element(tag, style, text) {
  const made = document.createElement(tag);
  made.className = style;
  made.textContent = text;
  return made;
}

function card(suspect) {
  const { picture } = suspect;
  const whole = element("div", "card", "");
  whole.tabIndex = 0;

  const link = element("a", "", "");
  link.href = picture.address;
  link.target = "_blank";
  link.tabIndex = -1;
  const image = new Image();
  image.loading = "lazy";
  image.alt = visible(picture.name);
  image.src = picture.thumbnail || picture.address;
  link.append(image);

  const text = element("div", "text", "");
  const given = picture.given.map((place) => visible(data.classes[place])).join(", ") || "none";
  const percent = `${Math.round(100 * suspect.probability)} %`;
  text.append(
    element("span", `kind ${suspect.kind}`, suspect.kind === "unknown" ? "not known" : `${suspect.kind}?`),
    element("b", "", visible(suspect.label)),
    element("div", "", `you say: ${suspect.given}, the model: ${percent}`),
    element("div", "small", `labels given: ${given}`),
    element("div", "small", `${visible(picture.name)} (${picture.split})`),
  );

  const buttons = element("div", "answers", "");
  for (const { answer, text: words, key: letter } of ANSWERS) {
    const button = element("button", "", words);
    button.type = "button";
    button.tabIndex = -1;
    button.title = `key ${letter}`;
    button.dataset.answer = answer;
    button.addEventListener("click", () => {
      give(whole, suspect, answerOf(suspect) === answer ? "" : answer);
      whole.focus({ preventScroll: true });
    });
    buttons.append(button);
  }

  whole.append(link, text, buttons);
  whole.addEventListener("keydown", (event) => onKey(event, whole, suspect));
  paint(whole, suspect);
  return whole;
}

function give(whole, suspect, answer) {
  setAnswer(suspect, answer);
  paint(whole, suspect);
}

function paint(whole, suspect) {
  const given = answerOf(suspect);
  for (const { answer, style } of ANSWERS) whole.classList.toggle(style, answer === given);
  for (const button of whole.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.answer === given));
  }
}

function onKey(event, whole, suspect) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const pressed = ANSWERS.find(({ key: letter }) => letter === event.key.toLowerCase());
  if (pressed) {
    give(whole, suspect, pressed.answer);
    go(whole, 1);
  } else if (event.key === "Backspace") give(whole, suspect, "");
  else if (event.key === "ArrowRight") go(whole, 1);
  else if (event.key === "ArrowLeft") go(whole, -1);
  else if (event.key === "ArrowDown") go(whole, columns());
  else if (event.key === "ArrowUp") go(whole, -columns());
  else return;
  event.preventDefault();
}

function columns() {
  const grid = getComputedStyle(document.getElementById("cards"));
  return grid.gridTemplateColumns.split(" ").length;
}

function go(whole, by) {
  const cards = [...document.querySelectorAll(".card")];
  const next = cards[cards.indexOf(whole) + by];
  if (next) next.focus();
}

// ---- Start --------------------------------------------------------------------------------------

fillTools();
for (const tool of Object.values(tools)) {
  tool.addEventListener("change", () => {
    first = 0;
    show();
  });
}
document.getElementById("previous").addEventListener("click", () => turn(-1));
document.getElementById("next").addEventListener("click", () => turn(1));
document.getElementById("download").addEventListener("click", download);
document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
show();
