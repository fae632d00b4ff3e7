/** A small helper. */

/** Find the element with this id. */
export const byId = (id) => document.getElementById(id);
