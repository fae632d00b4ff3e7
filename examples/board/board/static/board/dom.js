/** Small helpers for finding and making elements. */

/** Find the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Make the element that stands in a template. */
export const clone = (id) => byId(id).content.firstElementChild.cloneNode(true);
