// The page: one video at a time, what happened in it, when and why; and the videos before it.

import { Refused, address, events, send } from "./api.js";
import { watchCamera } from "./camera.js";
import { Heat, TimeBar, classBars, colourOf, curve, make, saidBy } from "./draw.js";

const $ = id => document.getElementById(id);
const video = $("video");
let about, model, classes = [], shown = null, running = null;
const history = [];

// --- the model ------------------------------------------------------------------------------------------------------

async function begin() {
  about = await (await fetch("/v1/model")).json();
  $("model").replaceChildren(...about.models.map(one => make("option", { value: one.name, textContent: one.name })));
  $("models").hidden = about.models.length < 2;
  choose(about.default);
  $("model").addEventListener("change", () => { choose($("model").value); if (shown) open(shown.file); });
}

function choose(name) {
  model = about.models.find(one => one.name === name);
  classes = Object.values(model.heads).flat();
  const heads = Object.keys(model.heads).length;
  $("about").textContent = `${model.name}: ${classes.length} classes${heads > 1 ? ` in ${heads} heads` : ""}, ` +
    `${model.preprocessing.num_frames} frames of ${model.preprocessing.crop_size.join("×")}, on ${model.device}`;
}

function say(words, refused = false) {
  $("status").textContent = words;
  $("status").classList.toggle("refused", refused);
}

const waiting = seconds => say(`Queued: the service is full, trying again in ${seconds} s`);

// --- a video --------------------------------------------------------------------------------------------------------

async function open(file) {
  running?.abort();
  const signal = (running = new AbortController()).signal;
  const item = { file, model: model.name, url: URL.createObjectURL(file), start: 0, decisions: [], events: [] };
  if (file.size > about.limits.upload_bytes) return say(`Refused: ${file.name} has more than ${about.limits.upload_bytes} bytes`, true);
  say(`Sending and decoding ${file.name} …`);
  const how = { model: item.model, name: file.name };
  try {
    const sent = await send("/v1/predict", { ...how, thumbnails: true, top: 5 }, file, { wait: waiting, signal });
    item.result = await sent.json();
    history.unshift(item);
    show(item);
    say(`Looking for events in ${file.name} …`);
    const found = await send("/v1/timeline", { ...how, top: 1 }, file, { wait: waiting, signal });
    for await (const [name, data] of events(found)) {
      if (name === "decision") item.decisions.push({ ...data, ...saidBy(data.heads ? Object.values(data.heads)[0] : data) });
      if (name === "event") item.events.push(data);
      if (name === "end") Object.assign(item, data, { events: data.timeline.events });
      if (name === "error") throw new Refused(data.detail);
      if (item === shown) redraw();
    }
    say(`${file.name}: ${item.events.length} event${item.events.length === 1 ? "" : "s"}`);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refused)) throw error;
    say(`Refused: ${error.message}`, true);
  }
}

function show(item) {
  shown = item;
  $("work").hidden = false;
  $("drop").classList.add("small");
  $("name").textContent = item.file.name;
  video.src = item.url;
  video.playbackRate = Number($("speed").value);
  const heads = item.result.heads ?? { "": item.result };
  $("classes").replaceChildren(...Object.entries(heads).flatMap(([name, head]) => {
    const place = make("div");
    classBars(place, head.labels ?? head.top, classes);
    if (head.labels?.length === 0) place.textContent = saidBy(head).label;
    return name ? [make("h3", { textContent: name }), place] : [place];
  }));
  const use = { learned: "The model learned from this video.", chose: "This video chose the weights.", held_out: "Held out of the training." };
  const damaged = item.result.damaged.length ? ` ${item.result.damaged.length} frames are damaged.` : "";
  $("facts").textContent = `${item.result.frames.length} frames seen, ${item.result.seconds.toFixed(2)} s. ${use[item.result.use] ?? ""}${damaged}`;
  $("thumbnails").replaceChildren(...(item.result.thumbnails ?? []).map((source, number, all) => {
    const times = item.result.timestamps, time = times[Math.floor((2 * number + 1) * times.length / (2 * all.length))];
    const button = make("button", { title: `${time.toFixed(2)} s` }, make("img", { src: source, alt: `The frame at ${time.toFixed(2)} s` }));
    button.addEventListener("click", () => jump(time));
    return button;
  }));
  const url = address(`${location.origin}/v1/predict`, { model: item.model });
  $("curl").textContent = `curl --data-binary @'${item.file.name.replaceAll("'", "'\\''")}' '${url}'`;
  $("python").textContent = `import json, urllib.request\nvideo = open(${JSON.stringify(item.file.name)}, "rb").read()\n` +
    `print(json.load(urllib.request.urlopen(urllib.request.Request(${JSON.stringify(url)}, video))))`;
  $("explain").checked = false;
  explained(null);
  redraw();
  $("before").hidden = history.length < 2;
  $("history").replaceChildren(...history.filter(one => one !== item).map(one => {
    const first = saidBy(one.result.heads ? Object.values(one.result.heads)[0] : one.result).label;
    const button = make("button", { textContent: `${one.file.name}: ${first}` });
    button.addEventListener("click", () => { say(""); show(one); });
    return make("li", {}, button);
  }));
}

video.addEventListener("error", async () => {
  const item = shown;
  if (!item || item.preview || !video.src) return;
  item.preview = true;
  say("This browser cannot play the video: making a copy that it can …");
  try {
    const made = await send("/v1/preview", { model: item.model }, item.file, { wait: waiting });
    item.start = Number(made.headers.get("Tubelet-Start"));
    item.url = URL.createObjectURL(await made.blob());
    if (item === shown) video.src = item.url;
    say(`${item.file.name}: shown as a copy, since this browser cannot play it`);
  } catch (error) {
    say(`No picture: ${error.message}`, true);
  }
});

// --- time -----------------------------------------------------------------------------------------------------------

const bar = new TimeBar($("bar"), jump, toEvent);
const heat = new Heat($("heat"), video);
const here = () => video.currentTime + (shown?.start ?? 0);
const length = () => (Number.isFinite(video.duration) ? video.duration + shown.start : shown?.timeline?.end ?? 1);

function jump(time) {
  video.currentTime = Math.max(time - shown.start, 0) + 1e-3;
}

function toEvent(direction) {
  if (!shown) return;
  const starts = shown.events.map(one => one.start);
  const target = direction > 0 ? starts.find(start => start > here() + 0.05) : starts.findLast(start => start < here() - 0.05);
  if (target !== undefined) jump(target);
}

function redraw() {
  bar.show(shown.decisions, shown.events, length(), classes);
  $("events").replaceChildren(...shown.events.map(one => {
    const colour = make("i");
    colour.style.background = colourOf(classes, one.label);
    const times = `${one.start.toFixed(2)}–${one.end.toFixed(2)} s`;
    const button = make("button", {}, colour, make("span", { textContent: one.label }), `${times}, ${(100 * one.mean).toFixed(0)} %`);
    button.addEventListener("click", () => jump(one.start));
    return make("li", {}, button);
  }));
  if (!shown.events.length) {
    $("events").replaceChildren(make("li", { className: "note", textContent: shown.timeline ? "No class was probable for long enough." : "…" }));
  }
  for (const name of ["csv", "srt"]) $(name).disabled = !shown.timeline;
  tick();
}

function tick() {
  if (!shown) return;
  const time = here(), now = shown.events.filter(one => one.start <= time && time < one.end);
  $("clock").textContent = `${time.toFixed(2)} s`;
  bar.at(time, `${time.toFixed(2)} s${now.length ? `, ${now.map(one => one.label).join(", ")}` : ""}`);
  heat.draw(time);
  if (heat.explanation) curve($("curve"), heat.explanation, length(), time);
  [...$("events").querySelectorAll("button")].forEach((button, number) =>
    button.setAttribute("aria-current", now.includes(shown.events[number])));
  $("play").textContent = video.paused ? "Play" : "Pause";
}

for (const name of ["timeupdate", "seeked", "play", "pause"]) video.addEventListener(name, tick);
video.addEventListener("loadedmetadata", () => { video.playbackRate = Number($("speed").value); redraw(); });
(function frame() { if (!video.paused) tick(); requestAnimationFrame(frame); })();
new ResizeObserver(tick).observe($("stage"));

$("play").addEventListener("click", () => (video.paused ? video.play() : video.pause()));
$("previous").addEventListener("click", () => toEvent(-1));
$("next").addEventListener("click", () => toEvent(1));
$("speed").addEventListener("change", () => { video.playbackRate = Number($("speed").value); });
$("curve").addEventListener("click", event => jump(event.offsetX / $("curve").clientWidth * length()));
document.addEventListener("keydown", event => {
  if ($("panel-video").hidden || !shown || event.target.closest("button, select, input, summary, [role=slider], [role=tab]")) return;
  const keys = { " ": () => $("play").click(), ArrowRight: () => toEvent(1), ArrowLeft: () => toEvent(-1) };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});

// --- why ------------------------------------------------------------------------------------------------------------

function explained(explanation) {
  heat.of(explanation);
  $("curve").hidden = $("why").hidden = !explanation;
  $("score").hidden = !explanation || Boolean(explanation.score);
  if (!explanation) return;
  const score = explanation.score ? ` Relevance gain ${explanation.score.gain?.toFixed(2) ?? "unknown"}, by chance within ±${(2 * explanation.score.chance).toFixed(2)}.` : "";
  $("why").textContent = `Orange speaks for ${explanation.target.class}, blue against it (logit ${explanation.logit.toFixed(2)}, ${explanation.method}).${score}`;
  tick();
}

async function why(score) {
  const item = shown;
  if (!$("explain").checked) return explained(null);
  try {
    if (score || !item.explanation) {
      say(score ? "Measuring, by some 230 passes …" : "Looking for what decided …");
      const parameters = { model: item.model, name: item.file.name, score: score || undefined };
      item.explanation = await (await send("/v1/explain", parameters, item.file, { wait: waiting })).json();
      say("");
    }
    if (item === shown && $("explain").checked) explained(item.explanation);
  } catch (error) {
    $("explain").checked = false;
    say(`No explanation: ${error.message}`, true);
  }
}

$("explain").addEventListener("change", () => why(false));
$("score").addEventListener("click", () => why(true));

// --- take it with you -----------------------------------------------------------------------------------------------

function save(content, suffix, kind) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type: kind }));
  make("a", { href: url, download: `${shown.file.name.replace(/\.\w+$/, "")}${suffix}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

$("json").addEventListener("click", () => {
  const { thumbnails, ...prediction } = shown.result;
  save(JSON.stringify({ prediction, timeline: shown.timeline ?? null, explanation: shown.explanation ?? null }, null, 2), ".json", "application/json");
});
$("csv").addEventListener("click", () => save(shown.csv, ".csv", "text/csv"));
$("srt").addEventListener("click", () => save(shown.srt, ".srt", "application/x-subrip"));
$("mp4").addEventListener("click", async () => {
  const item = shown;
  say("Making the film …");
  try {
    const made = await send("/v1/explain", { model: item.model, name: item.file.name, format: "mp4" }, item.file, { wait: waiting });
    save(await made.blob(), ".mp4");
    say("");
  } catch (error) {
    say(`No film: ${error.message}`, true);
  }
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText($(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// --- dropping, tabs -------------------------------------------------------------------------------------------------

$("file").addEventListener("change", () => { if ($("file").files[0]) open($("file").files[0]); $("file").value = ""; });
document.addEventListener("dragover", event => { event.preventDefault(); $("drop").classList.add("over"); });
document.addEventListener("dragleave", event => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
document.addEventListener("drop", event => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) { select($("tab-video")); open(event.dataTransfer.files[0]); }
});

const tabs = [...document.querySelectorAll("[role=tab]")];

function select(tab) {
  for (const one of tabs) {
    one.setAttribute("aria-selected", one === tab);
    one.tabIndex = one === tab ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = one !== tab;
  }
  tab.focus();
}

for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", event => {
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") select(tabs[1 - tabs.indexOf(tab)]);
  });
}

watchCamera(() => model, () => classes);
begin().catch(error => say(`The service does not answer: ${error.message}`, true));
