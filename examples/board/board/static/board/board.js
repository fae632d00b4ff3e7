/** The page: puts the client, the cards and what is seen of them together. */

import { connect } from "../fairway/fairway.js";
import { Cards } from "./cards.js";
import { Columns } from "./columns.js";
import { Connection } from "./connection.js";
import { byId } from "./dom.js";

const BOARD = Number(document.body.dataset.board);
// A change waits for the server as long as the page is there. To ask for it twice does no harm: a card has its key before
// it is sent, and every change says how things are to be, so a connection that breaks under way costs nothing.
const PATIENT = { idempotent: true, timeout: Number.POSITIVE_INFINITY };

const client = connect("/ws/board/");
const cards = new Cards((title) => notice(`Somebody has deleted “${title}”.`));
const columns = new Columns({
  add: (title, column) => add(crypto.randomUUID(), title, column),
  rename: (id, title) => change("card.rename", { id, title }, { title }),
  tick: (id, done) => change("card.tick", { id, done }, { done }),
  move: (id, column, before) =>
    change("card.move", { id, column, before }, { column, position: cards.placeFor(id, column, before) }),
  remove: (id) => change("card.delete", { id }, { isGone: true }),
  again: (id) => cards.again(id),
  dismiss: (id) => {
    cards.dismiss(id);
    show();
  },
});
const connection = new Connection(client);

function add(id, title, column) {
  const patch = { title, column, position: cards.placeFor(id, column, null) };
  change("card.add", { board: BOARD, id, title, column }, patch, (draft) => add(id, draft.title, draft.column));
}

/**
 * Ask for a change, and show it as if it were done. What the server refuses is taken back, and says why.
 * @param {(draft?: object) => void} [again] does it once more; gets the card as it is, if it was to be added
 */
async function change(type, data, patch, again = () => change(type, data, patch)) {
  const doing = cards.begin(data.id, patch);
  show();
  try {
    const answer = await client.request(type, data, PATIENT);
    cards.settle(doing, answer?.card);
  } catch (error) {
    cards.refuse(doing, error.name === "RequestFailed" ? error.message : `Not saved: ${error.message}.`, again);
  }
  show();
}

/** What has changed while there was no connection, nobody tells. So a new one begins with all cards. */
async function load() {
  cards.ask();
  try {
    const answer = await client.request("board.cards", { id: BOARD }, { timeout: Number.POSITIVE_INFINITY });
    cards.list(answer.cards);
    byId("board").setAttribute("aria-busy", "false");
    show();
  } catch (error) {
    if (client.state === "open") notice(error.message); // otherwise the next connection asks again
  }
}

function show() {
  columns.show(cards.shown(), cards.news());
  connection.show(cards.underWay);
}

function notice(text) {
  byId("notice-text").textContent = text;
  byId("notice").hidden = !text;
}

client.on("open", load);
client.on("error", (error) => notice(error.message));
client.subscribe({ type: "board", id: BOARD }, (push) => {
  cards.tell(push);
  show();
}).catch((error) => notice(error.message));
byId("notice-close").addEventListener("click", () => notice(""));
addEventListener("beforeunload", (event) => cards.underWay && event.preventDefault());
