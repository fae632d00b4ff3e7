/**
 * The visitor's name. It belongs to the tab, so that two tabs can be two people; the last one used anywhere is offered
 * where a name is asked for. A browser that stores nothing asks again on every page.
 */

const KEY = "fairway-chat-name";

function attempt(action) {
  try {
    return action() ?? "";
  } catch {
    return ""; // storage may be forbidden, or full
  }
}

/** The name of this tab, or "". */
export const ownName = () => attempt(() => sessionStorage.getItem(KEY));

/** A name to offer, or "". */
export const lastName = () => ownName() || attempt(() => localStorage.getItem(KEY));

/** Remember the name of this tab. */
export function keepName(name) {
  attempt(() => sessionStorage.setItem(KEY, name));
  attempt(() => localStorage.setItem(KEY, name));
}
