/** The page: puts the socket, the posts and, for admins, the desk together. */

import { Desk } from "./desk.js";
import { byId } from "./dom.js";
import { Posts } from "./posts.js";
import { StreamSocket } from "./socket.js";

const isAdmin = "admin" in document.body.dataset;
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const socket = new StreamSocket(`${scheme}//${location.host}/ws/liveblog/`, { posts: told, page: ready }, showConnection);
const posts = new Posts();
const desk = isAdmin ? new Desk((payload) => socket.send("posts", payload), posts, notice) : null;

/** A post was created, changed or deleted: as far as we may see it. */
function told(payload) {
  if (!payload.errors) posts.apply(payload);
  desk?.received(payload);
}

/** All posts are here. */
function ready({ admin }) {
  if (admin !== isAdmin) return location.reload(); // our rights have changed, and with them the page
  socket.settled();
  posts.complete();
  notice("");
}

function showConnection({ name, reason, wasOpen }) {
  const texts = { connecting: "Connecting…", open: "Live", waiting: "Connection lost", closed: sentence(reason) };
  byId("connection").dataset.state = name;
  byId("connection-text").textContent = texts[name];
  byId("retry").hidden = name !== "waiting";
  if (name === "open") posts.begin();
  else desk?.lost();
  if (name === "closed") notice("These posts are no longer live.", "Log in again");
  if (name === "waiting" && !wasOpen) leaveIfLoggedOut();
}

/** A refused handshake does not say why. The page itself does: without a login it leads to the form. */
async function leaveIfLoggedOut() {
  try {
    const answer = await fetch(location.href, { method: "HEAD", redirect: "manual", cache: "no-store" });
    if (answer.type === "opaqueredirect") location.reload();
  } catch {
    // There is no server at the moment. The socket goes on trying.
  }
}

function notice(text, link = "") {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
  if (!link) return;
  const anchor = document.createElement("a");
  anchor.href = location.href;
  anchor.textContent = link;
  byId("notice").append(" ", anchor);
}

function sentence(reason) {
  return reason ? reason[0].toUpperCase() + reason.slice(1) : "Disconnected";
}

byId("retry").addEventListener("click", () => socket.connect());
socket.connect();
