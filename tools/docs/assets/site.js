// The menu of narrow screens, light and dark, and the search. Without it all pages can still be read.

const byId = (id) => document.getElementById(id);

byId("menu").addEventListener("click", () => {
  const open = byId("navigation").classList.toggle("open");
  byId("menu").setAttribute("aria-expanded", open);
});

byId("theme").addEventListener("click", () => {
  const { dataset } = document.documentElement;
  const dark = dataset.theme ||
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  dataset.theme = localStorage.theme = dark === "dark" ? "light" : "dark";
});

/** Called by search.js with the index. */
// deno-lint-ignore no-unused-vars
function searchIndex(json) {
  const options = { fields: ["title", "text"], storeFields: ["title", "page", "anchor", "of"] };
  const index = MiniSearch.loadJSON(json, options);
  const [input, found] = [byId("search"), byId("found")];

  function show() {
    const search = { prefix: true, fuzzy: 0.15, boost: { title: 3 } };
    const hits = index.search(input.value, search).slice(0, 12);
    found.replaceChildren(...hits.map(({ title, page, anchor, of }) => {
      const [item, link, where] = ["li", "a", "small"].map((tag) => document.createElement(tag));
      link.href = `${ROOT}${page}#${anchor}`;
      link.textContent = title;
      where.textContent = of === title ? "" : of;
      link.append(where);
      item.append(link);
      return item;
    }));
    found.hidden = hits.length === 0;
  }

  input.addEventListener("input", show);
  input.addEventListener("keydown", ({ key }) => {
    if (key === "Enter") found.querySelector("a")?.click();
    if (key === "Escape") found.hidden = true;
    if (key === "ArrowDown") found.querySelector("a")?.focus();
  });
  document.addEventListener("click", ({ target }) => {
    if (!target.closest(".search")) found.hidden = true;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input")) return;
    event.preventDefault();
    input.focus();
  });
}
