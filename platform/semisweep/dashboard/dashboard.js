// Keeps a page as its store is: hears of changes, asks for the page again, and puts in what differs.
"use strict";

const SHORTEST = 200; // ms between two times that the page is asked for: half as long as it took, within
const LONGEST = 10000;
const main = document.getElementById("main");
const live = document.getElementById("live");
const dark = matchMedia("(prefers-color-scheme: dark)");
const parts = () => [...document.querySelectorAll("#studies, #main > section[id]")];
const sources = new Map(parts().map((part) => [part.id, part.outerHTML])); // before charts are in
let asking = false;
let asked = false;
let drawing = false;
let redrawAgain = false;

function tell(text, lost = false) {
  live.textContent = text;
  live.classList.toggle("lost", lost);
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A text as Plotly shows it: without this, "<b>" or a link in a name would be obeyed.
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function layoutOf(title) {
  const axis = { gridcolor: colour("--rule"), linecolor: colour("--axis"), zeroline: false, automargin: true };
  return {
    title: { text: plain(title), font: { size: 13 }, x: 0, xanchor: "left", y: 0.98, yanchor: "top" },
    xaxis: { ...axis, title: { text: "training step", font: { size: 11 }, standoff: 8 }, rangemode: "tozero" },
    yaxis: axis,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), size: 11, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: colour("--panel"), font: { color: colour("--ink") } },
    margin: { l: 48, r: 8, t: 30, b: 40 },
    legend: { orientation: "h", y: -0.25, yanchor: "top", x: 0, xanchor: "left" },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // else a finger scrolls
    uirevision: "kept", // what the reader has zoomed to stays
  };
}

async function draw(charts) {
  const answer = await fetch(charts.dataset.src, { cache: "no-store" });
  if (!answer.ok || !window.Plotly) return;
  const figures = await answer.json();
  charts.classList.toggle("none", !figures.length);
  if (!figures.length) charts.textContent = "Nothing was measured yet.";
  else if (!charts.querySelector(".chart")) charts.textContent = "";
  for (const [index, figure] of figures.entries()) {
    let chart = charts.children[index];
    if (!chart) {
      chart = charts.appendChild(document.createElement("div"));
      chart.className = "chart";
    }
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `${figure.title} over training`);
    const traces = figure.traces.map(({ place, ...trace }) => ({
      ...trace, name: plain(trace.name), type: "scatter", showlegend: figure.traces.length > 1,
      line: { color: colour(`--c${place % 8}`), width: 1.8 }, marker: { size: 5 },
    }));
    await Plotly.react(chart, traces, layoutOf(figure.title), { responsive: true, displayModeBar: false });
  }
  while (figures.length && charts.children.length > figures.length) charts.lastChild.remove();
}

const drawAll = () => Promise.all([...document.querySelectorAll(".charts")].map(draw));

// Draws the charts; what changes meanwhile is drawn after. Nothing waits for it: a chart is slow.
async function redraw() {
  redrawAgain = drawing;
  if (drawing) return;
  drawing = true;
  try {
    do {
      redrawAgain = false;
      await drawAll();
    } while (redrawAgain);
  } catch (error) {
    tell(`Not live: ${error.message}.`, true);
  }
  drawing = false;
}

// Takes over from a section what its reader has done to it.
function keep(old, fresh) {
  const opened = [...old.querySelectorAll("details")];
  fresh.querySelectorAll("details").forEach((own, at) => {
    if (opened[at]) own.open = opened[at].open;
  });
  for (const box of fresh.querySelectorAll("input")) {
    box.checked = Boolean(old.querySelector(`input[value="${CSS.escape(box.value)}"]:checked`));
  }
  for (const charts of fresh.querySelectorAll(".charts")) {
    const drawn = old.querySelector(`#${charts.id}`);
    if (drawn) {
      drawn.dataset.src = charts.dataset.src;
      charts.replaceWith(drawn);
    }
  }
}

function places(part) {
  return [...part.querySelectorAll(".scroll, pre.log")];
}

function replace(old, fresh) {
  const focus = [...old.querySelectorAll("a, button, input, summary, [tabindex]")].indexOf(document.activeElement);
  const scrolled = places(old).map((own) => [own.scrollLeft, own.scrollTop, atEnd(own)]);
  keep(old, fresh);
  old.replaceWith(fresh);
  places(fresh).forEach((own, at) => {
    if (scrolled[at]) own.scrollLeft = scrolled[at][0];
    if (scrolled[at]) own.scrollTop = own.matches(".end") && scrolled[at][2] ? own.scrollHeight : scrolled[at][1];
  });
  if (focus >= 0) fresh.querySelectorAll("a, button, input, summary, [tabindex]")[focus]?.focus({ preventScroll: true });
  fresh.classList.add("changed");
}

function atEnd(place) {
  return place.scrollTop + place.clientHeight >= place.scrollHeight - 8;
}

function put(page) {
  const wanted = [...page.querySelectorAll("#studies, #main > section[id]")];
  const ids = new Set(wanted.map((part) => part.id));
  for (const part of parts()) if (!ids.has(part.id)) part.remove();
  let before = null;
  for (const part of wanted) {
    const old = document.getElementById(part.id);
    if (!old) {
      sources.set(part.id, part.outerHTML);
      const fresh = document.importNode(part, true);
      if (before) before.after(fresh);
      else main.prepend(fresh);
    } else if (sources.get(part.id) !== part.outerHTML) {
      sources.set(part.id, part.outerHTML);
      replace(old, document.importNode(part, true));
    }
    if (part.id !== "studies") before = document.getElementById(part.id);
  }
  document.title = page.title;
}

async function update() {
  if (asking) {
    asked = true;
    return;
  }
  asking = true;
  const started = performance.now();
  let wait = LONGEST;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.status === 403) throw new Error("the server has another token now: open its new address");
    if (!answer.ok) throw new Error(`the server answers with ${answer.status}`);
    put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    redraw();
    tell(`Live; changed last at ${new Date().toLocaleTimeString()}.`);
    wait = Math.min(LONGEST, Math.max(SHORTEST, (performance.now() - started) / 2));
  } catch (error) {
    tell(`Not live: ${error.message}.`, true);
  }
  setTimeout(() => {
    asking = false;
    if (asked) {
      asked = false;
      update();
    }
  }, wait);
}

function listen() {
  const watched = main.dataset.watched === "all" ? "" : `&${main.dataset.watched}`;
  const stream = new EventSource(`/events?since=${main.dataset.since}${watched}`);
  stream.addEventListener("open", () => tell("Live."));
  stream.addEventListener("change", update);
  stream.addEventListener("error", () => tell("Not live: the server does not answer; trying again.", true));
}

for (const log of document.querySelectorAll("pre.end")) log.scrollTop = log.scrollHeight;
dark.addEventListener("change", redraw);
if (main.dataset.watched) listen();
redraw();
