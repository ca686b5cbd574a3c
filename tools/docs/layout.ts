// What all pages of the site have around them.

import type { Section } from "./render.ts";

/** Something that the search finds. */
export interface Entry extends Section {
  /** The page's name in the site. */
  readonly page: string;
}

/** The pages, in groups, in the order of the menu: name in the site without its end, and what the menu calls it. */
export const NAVIGATION:
  readonly (readonly [group: string, readonly (readonly [string, string])[]])[] = [
    ["Begin", [["index", "What it is"], ["how-it-works", "How it works"], ["lesson", "A lesson"]]],
    ["Do", [
      ["your-first-driver", "Your first driver"],
      ["your-own-class", "A class of your own"],
      ["test-your-driver", "Test your driver"],
      ["test-your-device", "Test your device"],
      ["watch", "Watch a machine"],
      ["cookbook", "Cookbook"],
      ["real-hardware", "Real machines"],
      ["troubleshooting", "Troubleshooting"],
    ]],
    ["Look up", [
      ["commands", "Commands"],
      ["classes", "Classes"],
      ["hostile-devices", "Hostile devices"],
      ["json", "JSON"],
      ["api/index", "API"],
    ]],
    ["Know more", [
      ["architecture", "Architecture"],
      ["security", "Security"],
      ["speed", "Speed"],
      ["nbd", "The NBD server"],
      ["hostile-guests", "What guests make of lies"],
      ["findings", "Findings"],
      ["features", "What is proved"],
    ]],
  ];

/** What a page is made of. */
export interface Page {
  readonly title: string;
  readonly body: string;
  readonly sections: readonly Section[];
  /** Its name in the site. */
  readonly name: string;
  /** The way up to the site's root: `"../"` for each folder. */
  readonly up?: string;
}

/** A whole page. */
export function layout({ title, body, sections, name, up = "" }: Page): string {
  const menu = NAVIGATION.map(([group, pages]) =>
    `<h2>${group}</h2><ul>${
      pages.map(([page, words]) =>
        `<li><a href="${up}${page}.html"${
          `${page}.html` === name ? ' aria-current="page"' : ""
        }>${words}</a></li>`
      ).join("")
    }</ul>`
  ).join("");
  const headings = sections.filter(({ level }) => level === 2);
  const contents = headings.length < 3
    ? ""
    : `<aside><h2>On this page</h2><ul>${
      headings.map(({ title, anchor }) => `<li><a href="#${anchor}">${escape(title)}</a></li>`)
        .join("")
    }</ul></aside>`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title === "virtio for Deno" ? title : `${title} - virtio for Deno`)}</title>
<link rel="stylesheet" href="${up}style.css">
<link rel="icon" href="data:,">
<script>document.documentElement.dataset.theme = localStorage.theme ?? ""</script>
</head>
<body>
<a class="skip" href="#content">To the text</a>
<header>
<button id="menu" aria-label="Menu" aria-expanded="false" aria-controls="navigation">&#9776;</button>
<a class="home" href="${up}index.html">virtio for Deno</a>
<div class="search"><input id="search" type="search" placeholder="Search" aria-label="Search" autocomplete="off"><ol id="found" hidden></ol></div>
<button id="theme" aria-label="Light or dark">&#9680;</button>
</header>
<nav id="navigation" aria-label="Pages">${menu}</nav>
<main id="content">${body}</main>
${contents}
<script>const ROOT = "${up}";</script>
<script src="${up}minisearch.js" defer></script>
<script src="${up}site.js" defer></script>
<script src="${up}search.js" defer></script>
</body>
</html>
`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
