/**
 * The pages of the documentation: what they tell their readers to do works, and what they point at is there.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { CLASSES } from "../classes.ts";
import { COMMANDS } from "../cli/commands.ts";
import { MEANING } from "../cli/exit.ts";
import config from "../deno.json" with { type: "json" };
import { LIES } from "../simulation/mod.ts";
import { anchorsOf, linksOf } from "../tools/docs/links.ts";
import { made, pagesWithParts } from "../tools/docs/made.ts";
import { blocksOf, checkPrograms, exists, pages, pageTest, ROOT, textOf } from "./support/pages.ts";

/** Pages whose commands take so long that each is a program of tests of its own. */
const ALONE: Readonly<Record<string, string>> = {
  "docs/cookbook.md": "tests/cookbook_test.ts",
  "docs/lesson.md": "tests/lesson_test.ts",
  "docs/your-own-class.md": "tests/your_own_class_test.ts",
  "docs/your-first-driver.md": "tests/your_first_driver_test.ts",
};

for (const page of pages()) {
  if (ALONE[page] === undefined && blocksOf(page).length > 0) pageTest(page, "");
}

Deno.test("the programs of all pages are right for the compiler #core:docs", checkPrograms);

Deno.test("each page is run by a test #core:docs", () => {
  for (const [page, test] of Object.entries(ALONE)) assert(textOf(test).includes(page));
});

Deno.test("a page with a command that is neither run nor says why not is refused #core:docs", () => {
  const fence = "```";
  const page = (words: string, body: string, comment = "") =>
    blocksOf("docs/page.md", `# Page\n\n${comment}${fence}${words}\n${body}\n${fence}\n`);
  const refused: readonly (readonly [words: string, body: string, comment?: string])[] = [
    ["", "deno run --allow-ffi main.ts ls"],
    ["bash", "ls"],
    ["text", "$ ls"],
    ["text", "deno task test"],
    ["ts", "console.log(1);"],
    ["ts", "console.log(1);", "<!-- run by: tests/nowhere_test.ts -->\n"],
    ["sh", "ls", "<!-- run by: tests/layers_test.ts -->\n"],
  ];
  for (const each of refused) {
    assertThrows(() => page(...each), SyntaxError, "docs/page.md:", JSON.stringify(each));
  }
  const taken = page("sh", "ls", "<!-- needs: root; exit: 4 -->\n");
  assertEquals(taken.map(({ kind, marks }) => [kind, marks]), [["sh", {
    needs: "root",
    exit: "4",
  }]]);
  assertEquals(
    page("sh", "ls", "<!-- not run: it is slow -->\n\n")[0]!.marks["not run"],
    "it is slow",
  );
});

/** What is wrong with a page's links. */
function deadLinks(page: string, text: string): string[] {
  return linksOf(text).flatMap(({ target, anchor }) => {
    const path = new URL(target, `file:///${page}`).pathname.slice(1);
    if (path !== page && !exists(`${ROOT}/${path}`)) return [`${page}: there is no ${path}`];
    if (anchor === undefined || !path.endsWith(".md")) return [];
    const there = anchorsOf(path === page ? text : textOf(path));
    return there.has(anchor) ? [] : [`${page}: ${path} has no heading #${anchor}`];
  });
}

Deno.test("no link of a page leads nowhere #core:docs_links", () => {
  assertEquals(pages().flatMap((page) => deadLinks(page, textOf(page))), []);
  const wrong = "# Page\n\n[a](nowhere.md) [b](../README.md#no-such) [c](#none) [d](#page)";
  assertEquals(deadLinks("docs/page.md", wrong), [
    "docs/page.md: there is no docs/nowhere.md",
    "docs/page.md: README.md has no heading #no-such",
    "docs/page.md: docs/page.md has no heading #none",
  ]);
});

Deno.test("each page can be found from the README, by links #core:docs_links", () => {
  const seen = new Set<string>();
  const left = ["README.md"];
  for (let page = left.pop(); page !== undefined; page = left.pop()) {
    if (seen.has(page) || !page.endsWith(".md") || !pages().includes(page)) continue;
    seen.add(page);
    for (const { target } of linksOf(textOf(page))) {
      left.push(new URL(target, `file:///${page}`).pathname.slice(1));
    }
  }
  assertEquals(pages().filter((page) => !seen.has(page)), []);
});

Deno.test("what pages have that is made from the code is up to date; if not: deno task docs:made #core:docs_made", async () => {
  const parts = pagesWithParts();
  assertEquals(parts.length, 5);
  for (const [path, text] of parts) assertEquals(text, await made(text), path);
  const has = (page: string, texts: readonly string[]) =>
    assertEquals(texts.filter((text) => !textOf(page).includes(text)), [], page);
  has("docs/commands.md", COMMANDS.map(({ name }) => `## ${name}\n`));
  has("docs/classes.md", Object.keys(CLASSES).map((name) => `## ${name}\n`));
  has("docs/hostile-devices.md", LIES.map((id) => `\`${id}\``));
  has("docs/troubleshooting.md", MEANING.map(([, meaning]) => meaning));
  has("docs/json.md", [...Deno.readDirSync(`${ROOT}/schemas`)].map(({ name }) => `## ${name}\n`));
});

Deno.test("tasks and commands that pages name in their text are there #core:docs", () => {
  const unknown = pages().flatMap((page) => {
    const text = textOf(page);
    const tasks = [...text.matchAll(/`deno task ([\w:]+)/g)].map(([, task]) => task!);
    const lines = [...text.matchAll(/`(?:deno run --allow-ffi )?main\.ts ([a-z]+)/g)];
    const nouns = COMMANDS.map(({ name }) => name.split(" ")[0]);
    return [
      ...tasks.filter((task) => !Object.hasOwn(config.tasks, task)),
      ...lines.map(([, word]) => word!).filter((word) => !nouns.includes(word)),
    ].map((word) => `${page}: ${word}`);
  });
  assertEquals(unknown, []);
});
