/** The page of an import: puts the socket and the bar together. */

import { Bar } from "./bar.js";
import { byId } from "./dom.js";
import { Socket } from "./socket.js";

const SECONDS = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

const { body } = document;
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const address = `${scheme}//${location.host}/ws/imports/${body.dataset.import}/`;
const socket = new Socket(address, received, showConnection);
const bar = new Bar();
const title = document.title;

/** What each state is called, and whether the import has ended with it. */
const STATES = {
  waiting: { text: () => "Waiting for a worker." },
  running: { text: () => "" },
  done: { text: ({ imported, seconds }) => `${imported} arrivals are in the register, after ${SECONDS.format(seconds)} seconds.`, ends: true },
  refused: { text: ({ error }) => `${error} Nothing was imported.`, ends: true },
  failed: { text: () => "The import has failed, and nothing was imported. The log of the worker says why.", ends: true },
};

function received(frame) {
  if ("progress" in frame) progressed(frame);
  else if (frame.state in STATES) stands(frame);
}

/** A report of the task: how far it is, and at what. */
function progressed(report) {
  body.dataset.state = "running";
  bar.show(report);
  byId("row").textContent = `${report.ship}, from ${report.port}`; // not where it would be read aloud each time
  byId("outcome").textContent = "";
  document.title = `${report.percent} % · ${title}`;
}

/** What has become of the task. Every socket is told so at first, and when the task has ended. */
function stands(frame) {
  const { text, ends } = STATES[frame.state];
  body.dataset.state = frame.state;
  byId("outcome").textContent = text(frame);
  if (!ends) return;
  byId("row").textContent = "";
  if (frame.state === "done") bar.show({ done: frame.imported, total: frame.imported, percent: 100 });
  byId("left").textContent = "";
  document.title = `${frame.state === "done" ? "Done" : "Failed"} · ${title}`;
  socket.close(); // nothing more will come
}

function showConnection(name) {
  const texts = { connecting: "Connecting…", open: "Live", waiting: "Connection lost", closed: "Disconnected" };
  byId("connection").dataset.state = name;
  byId("connection-text").textContent = texts[name];
  byId("connection").hidden = name === "done";
  byId("retry").hidden = name !== "waiting";
}

byId("retry").addEventListener("click", () => socket.connect());
socket.connect();
