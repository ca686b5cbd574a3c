/**
 * The pages of the documentation: what they tell their readers to do works, and what they point at is there.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { blocksOf, pages, pageTest, textOf } from "./support/pages.ts";

/** Pages whose commands take so long that each is a program of tests of its own. */
const ALONE: Readonly<Record<string, string>> = {
  "docs/your-first-driver.md": "tests/your_first_driver_test.ts",
};

for (const page of pages()) {
  if (ALONE[page] === undefined && blocksOf(page).length > 0) pageTest(page);
}

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
