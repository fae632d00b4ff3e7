/**
 * The cards: what the server has told of them, and on top of that what was done here and is not answered yet.
 *
 * So a change is seen at once, with or without a connection, and is taken back if the server refuses it.
 */

const SEEN = ["title", "column", "done"];

export class Cards {
  #told = new Map(); // id: the card as the server last told it
  #drafts = new Map(); // id: a card that the server has not told of yet
  #changes = new Set(); // { id, patch }: under way, in order
  #refusals = new Map(); // id: { text, again }
  #gone = new Set(); // ids that were deleted since the list of all cards was asked for
  #news = new Set();
  #lost;

  /** @param {(title: string) => void} lost told of a card that was deleted while something was done to it here */
  constructor(lost) {
    this.#lost = lost;
  }

  /** How many changes are not answered yet. */
  get underWay() {
    return this.#changes.size;
  }

  /** The list of all cards is asked for. */
  ask() {
    this.#gone.clear();
  }

  /** It is here. News of its cards may have come earlier, and are newer then. */
  list(cards) {
    const ids = new Set(cards.map(({ id }) => id));
    for (const id of [...this.#told.keys()]) if (!ids.has(id)) this.#remove(id);
    for (const card of cards) this.#put(card);
    this.#news.clear();
  }

  /** Somebody has changed a card, perhaps we. */
  tell({ type, object: card }) {
    if (type === "delete") {
      this.#gone.add(card.id);
      this.#remove(card.id);
      return;
    }
    const before = this.#told.get(card.id);
    const isOurs = [...this.#changes].some(({ id }) => id === card.id);
    if (this.#put(card) && !isOurs && SEEN.some((key) => card[key] !== before?.[key])) this.#news.add(card.id);
  }

  /** Do something to a card, or add one; it is called off or settled later. */
  begin(id, patch) {
    if (!this.#told.has(id)) this.#drafts.set(id, { id, done: false, version: 0, ...this.#drafts.get(id), ...patch });
    this.#refusals.delete(id);
    const change = { id, patch };
    this.#changes.add(change);
    return change;
  }

  /** The server has done it, and this is the card now; without one it is deleted. */
  settle(change, card) {
    this.#changes.delete(change);
    if (card) {
      this.#put(card);
      return;
    }
    this.#refusals.delete(change.id);
    this.#gone.add(change.id);
    this.#remove(change.id);
  }

  /** The server has not done it. `again` does it once more. */
  refuse(change, text, again) {
    const { id } = change;
    this.#changes.delete(change);
    // A card that was not added can neither be changed: the first reason is the one.
    const isTold = this.#drafts.has(id) ? this.#refusals.has(id) : !this.#told.has(id);
    if (!isTold) this.#refusals.set(id, { text, again });
  }

  /** The refusal was read. A card that was never added goes with it. */
  dismiss(id) {
    this.#refusals.delete(id);
    this.#drafts.delete(id);
  }

  /** Do once more what was refused. */
  again(id) {
    this.#refusals.get(id)?.again(this.#drafts.get(id));
  }

  /** Return all cards as they are to be seen, from the top to the bottom. */
  shown() {
    const cards = new Map();
    for (const card of [...this.#told.values(), ...this.#drafts.values()]) cards.set(card.id, { ...card });
    for (const { id, patch } of this.#changes) if (cards.has(id)) Object.assign(cards.get(id), patch, { isUnderWay: true });
    for (const [id, card] of cards) {
      card.isDraft = this.#drafts.has(id);
      card.refusal = this.#refusals.get(id)?.text ?? "";
    }
    return [...cards.values()].filter(({ isGone }) => !isGone).sort((a, b) => a.position - b.position);
  }

  /** Return the ids of what others have changed since the last look. */
  news() {
    const news = this.#news;
    this.#news = new Set();
    return news;
  }

  /** Return where a card stands that is put above another one, or at the bottom; the server counts anew. */
  placeFor(id, column, before) {
    const cards = this.shown().filter((card) => card.column === column && card.id !== id);
    const place = cards.findIndex((card) => card.id === before);
    const [above, below] = place < 0 ? [cards.at(-1), undefined] : [cards[place - 1], cards[place]];
    if (!below) return (above?.position ?? 0) + 1;
    return ((above?.position ?? below.position - 2) + below.position) / 2;
  }

  #put(card) {
    const { version } = this.#told.get(card.id) ?? { version: 0 };
    if (this.#gone.has(card.id) || card.version <= version) return false;
    this.#told.set(card.id, card);
    this.#drafts.delete(card.id);
    return true;
  }

  #remove(id) {
    const card = this.#told.get(id);
    const changes = [...this.#changes].filter((change) => change.id === id);
    const isWanted = changes.length > 0 || this.#refusals.has(id);
    if (card && isWanted && !changes.some(({ patch }) => patch.isGone)) this.#lost(card.title);
    this.#told.delete(id);
    this.#drafts.delete(id);
    this.#refusals.delete(id);
  }
}
