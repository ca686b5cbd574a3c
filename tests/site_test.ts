/**
 * The site of the documentation, as `deno task docs` makes it, but for the pages of the API.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../cli/commands.ts";
import { NAVIGATION } from "../tools/docs/layout.ts";
import { pictures } from "../tools/docs/pictures.ts";
import { build, sitePages } from "../tools/docs/site.ts";
import { Browser } from "./support/browser.ts";
import { patience } from "./support/patience.ts";
import { testWith, withoutPrograms } from "./support/needs.ts";
import { findProgram } from "../core/linux/file.ts";
import "./support/libc.ts";

/** All files under a folder. */
function* files(folder: string, before = ""): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* files(`${folder}/${name}`, `${before}${name}/`);
    else yield `${before}${name}`;
  }
}

Deno.test("the site: each page is in its menu, and no link leads nowhere #core:docs_links", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-site-" });
  try {
    await build(folder, false);
    const there = new Set(files(folder));
    const menu = NAVIGATION.flatMap(([, pages]) => pages.map(([name]) => `${name}.html`));
    const named = sitePages().map(([, name]) => name);
    assertEquals(named.filter((name) => !menu.includes(name)), []);
    const dead = new Set<string>();
    for (const file of there) {
      if (!file.endsWith(".html")) continue;
      const text = Deno.readTextFileSync(`${folder}/${file}`);
      const ids = new Set([...text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id!));
      for (const [, target] of text.matchAll(/ (?:href|src)="([^"]+)"/g)) {
        if (/^\w+:/.test(target!)) continue;
        const { pathname, hash } = new URL(target!, `file:///${file}`);
        const path = decodeURIComponent(pathname.slice(1));
        // Those of the API are deno doc's own.
        if (path.startsWith("api/")) continue;
        if (!there.has(path)) dead.add(`${file}: ${target}`);
        else if (path === file && hash !== "" && !ids.has(decodeURIComponent(hash.slice(1)))) {
          dead.add(`${file}: ${target}`);
        }
      }
    }
    assertEquals([...dead], []);
    // What the search looks through.
    assertStringIncludes(Deno.readTextFileSync(`${folder}/search.js`), "virtqueue");
    assert(there.has("minisearch.js") && there.has("man/virtio.1"));
    assertEquals([...there].filter((file) => file.startsWith("man/")).length, COMMANDS.length + 1);
    await lintManuals(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

testWith(
  withoutPrograms("chromium"),
  "the site in a browser: what is searched for is found, no page is wider than its window, and none complains #core:docs_site",
  async () => {
    const folder = Deno.makeTempDirSync({ prefix: "virtio-site-" });
    try {
      await build(folder, false);
      const url = (name: string) => `file://${folder}/${name}`;
      await using browser = await Browser.open(url("index.html"), `${folder}/chromium`);
      const wide: string[] = [];
      for (const width of [1280, 390]) {
        await browser.resize(width);
        for (const [, name] of sitePages()) {
          await browser.show(url(name));
          const fits = "document.documentElement.scrollWidth <= innerWidth";
          if (await browser.evaluate(fits) !== true) wide.push(`${name} at ${width}`);
        }
      }
      assertEquals(wide, []);

      await browser.resize(1280);
      await browser.show(url("index.html"));
      await browser.press("/");
      await browser.type("doorbel");
      await browser.until("document.querySelectorAll('#found a').length > 0");
      const found = await browser.evaluate("document.querySelector('#found a').href");
      await browser.press("Enter");
      await browser.until(
        `location.href === ${JSON.stringify(found)} && document.readyState === "complete"`,
      );
      const theme = "document.documentElement.dataset.theme";
      await browser.evaluate("document.querySelector('#theme').click()");
      const chosen = await browser.evaluate(theme);
      await browser.evaluate("document.querySelector('#theme').click()");
      assertEquals([chosen, await browser.evaluate(theme)].sort(), ["dark", "light"]);
      assertEquals(browser.complaints, []);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
);

/** groff warns of nothing. */
async function lintManuals(folder: string): Promise<void> {
  if (findProgram("groff") === undefined) {
    console.log("skipped: there is no groff to look at the manual pages with");
    return;
  }
  const { success, stderr, stdout } = await new Deno.Command("sh", {
    args: ["-c", "groff -man -Tutf8 -ww man/*.1"],
    cwd: folder,
    signal: patience(),
  }).output();
  assertEquals([success, new TextDecoder().decode(stderr)], [true, ""]);
  assertStringIncludes(new TextDecoder().decode(stdout), "interrupted (SIGINT, Ctrl-C)");
}

testWith(
  Deno.uid() === 0 ? undefined : "the pictures show a program of root's",
  "the pictures are what a run shows now; if not: deno task docs:pictures #core:docs_made",
  async () => {
    for (const [name, text] of Object.entries(await pictures())) {
      const file = new URL(`../docs/pictures/${name}`, import.meta.url);
      assertEquals(Deno.readTextFileSync(file), text, name);
    }
  },
);
