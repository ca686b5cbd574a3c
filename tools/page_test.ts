import { assert, assertEquals, assertMatch } from "@std/assert";
import { Browser } from "../tests/support/browser.ts";
import { testWith, withoutPrograms } from "../tests/support/needs.ts";
import { openKernel } from "../mod.ts";
import { ASSET, makePage } from "./page.ts";

Deno.test("the page of a trace is the one that its sources make #cli:trace_page", async () => {
  const fresh = await Deno.readTextFile(ASSET) === await makePage();
  assert(fresh, "it is old: `deno task page` writes it anew");
});

/** Where a trace is, and what stands in it of the events that are shown at first. */
async function traced(folder: string) {
  const file = `${folder}/trace.html`;
  {
    await using kernel = await openKernel({ machine: "simulated", trace: file });
    const { client } = await kernel.attachFirst("block");
    await client.read(0, 4096);
  }
  const events = (await Deno.readTextFile(file)).split("\n")
    .filter((line) => line.startsWith('{"at"')).map((line) => JSON.parse(line))
    .filter(({ kind, window, name }) =>
      kind !== "register" || (window !== "device" && name !== "config_generation")
    );
  return { file, events };
}

testWith(
  withoutPrograms("chromium"),
  "the page of a trace shows ladder, rings, lanes and timeline in a browser, and plays them by keys #cli:trace_page",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "page-" });
    try {
      const { file, events } = await traced(folder);
      await using browser = await Browser.open(`file://${file}`, `${folder}/chromium`);
      const page = async () => String(await browser.evaluate("document.body.innerHTML"));
      const place = async () =>
        String(await browser.evaluate("document.querySelector('output').textContent"));
      const arrives = (event: number) =>
        browser.until(
          `document.querySelector("output").textContent.startsWith("${event} of ${events.length},")`,
        );

      assertMatch(await place(), new RegExp(`^1 of ${events.length}, 0\\.000 ms`));
      const first = await page();
      assertMatch(first, /<svg class="ladder"/);
      assertMatch(first, /<section class="card timeline">/);
      assert(!first.includes("<small>split ring of"), "there is a ring before it was set up");

      const request = events.findIndex(({ kind }) => kind === "request");
      for (let left = request; left > 0; left -= left >= 10 ? 10 : 1) {
        await browser.press(left >= 10 ? "PageDown" : "ArrowRight");
      }
      await arrives(request + 1);
      const { descriptors } = events[request];
      const then = await page();
      assertMatch(then, /requests0 <small>split ring of 128/);
      assertMatch(then, /lane requests <small>128 slots, 0 requests ended/);
      assertEquals(
        [...then.matchAll(/class="descriptor (?:read|write)"/g)].length,
        descriptors.length,
      );
      for (const { address, bytes } of descriptors) {
        assert(then.includes(address) && then.includes(`<b>${bytes}</b>`), address);
      }
      // All steps are done, and the status says so.
      assertEquals([...then.matchAll(/<li class="done">/g)].length, 8);

      // Back to where there was no ring, and to the end by playing.
      await browser.press("Home");
      await arrives(1);
      assertEquals(await page(), first);
      await browser.press("End");
      await arrives(events.length);
      const last = await page();
      for (const key of ["ArrowLeft", "ArrowUp", "ArrowLeft"]) await browser.press(key);
      await arrives(events.length - 3);
      await browser.press(" ");
      await arrives(events.length);
      await browser.until("document.querySelector('.play').textContent === 'play'");
      assertEquals(await page(), last);
      assertEquals(browser.complaints, []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
