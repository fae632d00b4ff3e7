/** A room: puts the socket, the talk, the people and the text field together. */

import { byId } from "./dom.js";
import { keepName, lastName, ownName } from "./identity.js";
import { Log } from "./log.js";
import { People } from "./people.js";
import { ReconnectingSocket } from "./socket.js";

const { room, textLimit } = document.body.dataset;
const LIMIT = Number(textLimit);
const ANSWER_WITHIN = 10_000;

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const socket = new ReconnectingSocket(`${scheme}//${location.host}/ws/chat/${encodeURIComponent(room)}/`, {
  opened: join,
  received,
  changed: showConnection,
});
const log = new Log(({ ref, text }) => say(text, ref));
const people = new People((line) => log.quiet(line));
const title = document.title;

let name = ownName();
let isIn = false; // welcomed on this connection
let answerTimer = 0;
let unseen = 0;

/* The conversation with the server */

function join() {
  people.reset();
  socket.send({ type: "join", name, after: log.lastId });
  answerTimer = setTimeout(() => socket.abandon(), ANSWER_WITHIN);
}

function received(frame) {
  switch (frame.type) {
    case "welcome":
      clearTimeout(answerTimer);
      isIn = true;
      name = log.me = frame.you.name;
      log.history(frame.history, frame.cut);
      people.welcome(name, frame.here);
      showConnection({ name: "open" });
      break;
    case "message":
      log.message(frame);
      if (document.hidden) document.title = `(${(unseen += 1)}) ${title}`;
      break;
    case "joined":
      people.joined(frame, isIn);
      break;
    case "left":
      people.left(frame, isIn);
      break;
    case "error":
      refused(frame);
      break;
  }
}

function refused({ code, detail, ref }) {
  clearTimeout(answerTimer);
  if (code === "bad-name") askName(detail);
  else if (ref) log.unconfirmed(ref, detail);
  else notice(detail);
}

function say(text, ref = crypto.randomUUID?.() ?? uuid()) {
  if (!isIn || !socket.send({ type: "say", text, ref })) {
    notice("There is no connection. Your message stays here until you send it again.");
    return false;
  }
  notice("");
  log.sending(ref, text);
  return true;
}

/** `crypto.randomUUID` exists only on https and on localhost; a phone in the same network may use neither. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* The connection, as the visitor sees it */

const connection = byId("connection");
let countdown = 0;

function showConnection(state) {
  if (state.name !== "open") {
    isIn = false;
    clearTimeout(answerTimer);
    log.unconfirmed();
  }
  const shown = state.name === "open" && !isIn ? "connecting" : state.name;
  const texts = {
    connecting: "Connecting…",
    open: "Connected",
    waiting: "Connection lost",
    closed: state.reason ? `Disconnected: ${state.reason}` : "Disconnected",
  };
  connection.dataset.state = shown;
  if (byId("connection-text").textContent !== texts[shown]) byId("connection-text").textContent = texts[shown];
  byId("retry").hidden = shown === "open" || shown === "connecting";
  byId("retry").textContent = shown === "closed" ? "Reconnect" : "Try now";
  clearInterval(countdown);
  byId("countdown").textContent = "";
  if (shown === "waiting") {
    const tick = () => {
      byId("countdown").textContent = `next try in ${Math.max(1, Math.ceil((state.until - Date.now()) / 1000))} s`;
    };
    tick();
    countdown = setInterval(tick, 500);
  }
  if (shown === "open") notice("");
  weigh();
}

byId("retry").addEventListener("click", () => socket.connect());

/* The text field */

const field = byId("text");
const growsByItself = CSS.supports("field-sizing", "content");

/** Say whether the text can be sent now, and how much room is left. The server counts characters, as people do. */
function weigh() {
  const length = [...field.value.trim()].length;
  byId("send").disabled = !isIn || length === 0 || length > LIMIT;
  field.setAttribute("aria-invalid", String(length > LIMIT));
  const isNear = length > LIMIT * 0.9;
  byId("counter").textContent = isNear ? `${length.toLocaleString()} of ${LIMIT.toLocaleString()}` : "";
  if (!growsByItself) {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  }
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

field.addEventListener("input", weigh);
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("composer").requestSubmit();
});
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = field.value.trim();
  if (!text || [...text].length > LIMIT) return;
  if (say(text)) field.value = "";
  weigh();
});

/* The name */

const dialog = byId("who-are-you");

function askName(complaint = "") {
  byId("name").value = name || lastName();
  byId("name-error").textContent = complaint;
  byId("name").setAttribute("aria-invalid", String(Boolean(complaint)));
  if (!dialog.open) dialog.showModal();
}

dialog.addEventListener("cancel", (event) => event.preventDefault()); // nobody is here without a name
byId("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  name = byId("name").value.trim();
  if (!name) return askName("A name, please.");
  keepName(name);
  dialog.close();
  field.focus();
  if (socket.isOpen) join();
  else socket.connect();
});

/* The rest of the page */

const toggle = byId("people-toggle");
function showPeople(isShown) {
  toggle.setAttribute("aria-expanded", String(isShown));
  document.body.classList.toggle("shows-people", isShown);
}
toggle.addEventListener("click", () => showPeople(toggle.getAttribute("aria-expanded") !== "true"));
document.addEventListener("keydown", (event) => event.key === "Escape" && showPeople(false));
byId("scroller").addEventListener("click", () => showPeople(false));

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unseen = 0;
  document.title = title;
});

if (name) socket.connect();
else askName();
if (name && matchMedia("(hover: hover)").matches) field.focus(); // not where that raises a keyboard
