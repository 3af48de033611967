/** The frame of all pages: navigation, the token, and the connection to the service. */

import { compare } from "./compare.js";
import { launch } from "./launch.js";
import { search } from "./search.js";
import { searches } from "./searches.js";
import { hasToken, session, setToken } from "./service.js";

const main = document.getElementById("main");
let leaving = new AbortController();

function show() {
  leaving.abort();
  leaving = new AbortController();
  const [path, query = ""] = location.hash.slice(1).split("?");
  const [, page, name] = path.split("/");
  const parameters = new URLSearchParams(query);
  const inside = { place: main, parameters, signal: leaving.signal };
  main.replaceChildren();
  if (page === "launch") launch(inside);
  else if (page === "compare") compare(inside);
  else if (page === "searches" && name) search(inside, decodeURIComponent(name));
  else searches(inside);
  document.title = `${main.querySelector("h1").textContent} – paretune`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === `#/${page || "searches"}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

const dialog = document.getElementById("token-dialog");
const field = document.getElementById("token-field");
const button = document.getElementById("token-button");
let declined = false;

function ask(reason) {
  document.getElementById("token-reason").textContent = reason;
  if (!dialog.open) dialog.showModal();
}

button.addEventListener("click", () => ask(hasToken() ? "A token is in use." : "No token is in use."));
session.addEventListener("refused", (event) => {
  // Every request is refused now; one question is enough.
  if (!declined) ask(event.detail);
});
dialog.addEventListener("close", () => {
  declined = dialog.returnValue !== "save" || !field.value;
  if (dialog.returnValue === "forget") setToken("");
  else if (!declined) setToken(field.value.trim());
  field.value = "";
  dialog.returnValue = "";
});

const connection = document.getElementById("connection");
session.addEventListener("lost", () => {
  connection.textContent = "No connection to the service. What you see may be old. Trying again every few seconds.";
});
session.addEventListener("found", () => {
  connection.textContent = "";
});

window.addEventListener("hashchange", () => {
  declined = false;
  show();
  main.focus();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  // Its address would be read as that of a page.
  event.preventDefault();
  main.focus();
});
show();
