/** Small helpers for making and finding elements. */

/** Find the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Make an element. Text is always set as text: nothing that people write can become part of the page. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Make the round badge of a person, in a colour that belongs to the name. */
export function avatar(name) {
  const words = name.split(" ");
  const initials = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...word][0] ?? "").join("");
  const element = make("span", "avatar", initials.toUpperCase());
  let hash = 2166136261; // FNV-1a
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0), 16777619) >>> 0;
  element.style.setProperty("--hue", String((hash >>> 8) % 12 * 30));
  element.setAttribute("aria-hidden", "true");
  return element;
}
