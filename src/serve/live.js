"use strict";
const at = id => document.getElementById(id);
const words = { waiting: "waiting", training: "training", validating: "validating", paused: "paused", stopping: "stopping, the state is being saved",
  finished: "finished", stopped: "stopped, can be resumed", failed: "failed", watched: "seen from its files" };
let current = {}, told = "", reported = null;

const figure = (n, digits) => n === null || n === undefined ? "–" : n.toFixed(digits);

/* Text only ever enters the page as text. */
function show(s) {
  current = s;
  at("run").textContent = s.run || "Fieldtune";
  at("state").textContent = words[s.state] || s.state;
  at("state").className = s.state === "failed" ? "bad" : "";
  document.title = (s.run || "Fieldtune") + ": " + s.state;
  const whole = s.steps > 0 ? s.step / s.steps : s.epochs > 0 ? s.epoch / s.epochs : 0;
  at("progress").value = Math.min(1, whole);
  const rows = [["epoch", s.epoch + " of " + s.epochs], ["step", s.step + (s.steps ? " of " + s.steps : "")],
    ["class loss", figure(s.class_loss, 3)], ["box loss", figure(s.box_loss, 3)],
    ["AP", figure(s.ap, 3)], ["best AP", figure(s.best_ap, 3) + (s.best_epoch ? " (epoch " + s.best_epoch + ")" : "")],
    ["images per second", figure(s.images_per_second, 1)], ["left", s.left || "–"],
    ["learning rate", s.learning_rate === null ? "–" : s.learning_rate.toExponential(1)],
    ["saved at step", s.saved_step === null ? "–" : String(s.saved_step)]];
  at("figures").replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name; dd.textContent = value; row.append(dt, dd);
    return row;
  }));
  at("controls").hidden = !s.controls;
  at("pause").textContent = s.state === "paused" ? "Resume" : "Pause";
  at("stop").disabled = s.state === "stopping";
  at("note").textContent = s.note;
  const all = JSON.stringify(s.messages);
  if (all !== told) {
    told = all;
    at("told").hidden = s.messages.length === 0;
    at("messages").replaceChildren(...s.messages.slice().reverse().map(m => {
      const item = document.createElement("li");
      item.textContent = "step " + m.step + ": " + m.text;
      return item;
    }));
  }
  at("report").hidden = !s.report;
  at("none").hidden = s.report !== null;
  if (s.report && s.report !== reported) {
    reported = s.report;
    at("frame").src = "/run/report.html?" + s.report;
  }
}

function ask(path, said) {
  fetch(path, { method: "POST", headers: { "X-Fieldtune": "page" } })
    .then(r => r.text().then(text => { at("answer").textContent = r.ok ? said : text; }))
    .catch(() => { at("answer").textContent = "no answer"; });
}
at("pause").addEventListener("click", () => current.state === "paused" ? ask("/resume", "going on") : ask("/pause", "it pauses after the images under way"));
at("save").addEventListener("click", () => ask("/save", "it is saved after the step under way"));
at("stop").addEventListener("click", () => { if (confirm("Stop the run? It can be resumed.")) ask("/stop", "it stops after the step under way"); });

const source = new EventSource("/events");
source.onmessage = event => show(JSON.parse(event.data));
source.onerror = () => {
  if (current.state !== "finished" && current.state !== "stopped" && current.state !== "failed") at("state").textContent = "connection lost, trying again";
  else source.close();
};
