/** The first page: remember the name, let the form do the rest. */

import { byId } from "./dom.js";
import { keepName, lastName } from "./identity.js";

const name = byId("name");
name.value ||= lastName();
if (name.value) byId("room").focus();

// A link to a room counts as well, once there is a name.
const keep = () => name.value.trim() && keepName(name.value.trim());
byId("entry").addEventListener("submit", keep);
for (const link of document.querySelectorAll(".recent a")) link.addEventListener("click", keep);
