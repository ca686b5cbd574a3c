import { assert, assertEquals, assertMatch } from "@std/assert";
import { testWith, withoutPrograms } from "../tests/support/needs.ts";
import { openKernel } from "../mod.ts";
import { ASSET, makePage } from "./page.ts";

Deno.test("the page of a trace is the one that its sources make #cli:trace_page", async () => {
  const fresh = await Deno.readTextFile(ASSET) === await makePage();
  assert(fresh, "it is old: `deno task page` writes it anew");
});

testWith(
  withoutPrograms("chromium"),
  "the page of a trace shows ladder, rings, lanes and timeline in a browser #cli:trace_page",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "page-" });
    try {
      const file = `${folder}/trace.html`;
      {
        await using kernel = await openKernel({ machine: "simulated", trace: file });
        const { client } = await kernel.attachFirst("block");
        await client.read(0, 4096);
      }
      /** What stands in the page when it shows its event of that number, as a browser has it. */
      const shown = async (event: number) => {
        const { stdout } = await new Deno.Command("chromium", {
          args: [
            ...[
              "--headless=new",
              "--no-sandbox",
              "--disable-gpu",
              `--user-data-dir=${folder}/chromium`,
            ],
            ...["--virtual-time-budget=2000", "--dump-dom", `file://${file}#${event}`],
          ],
          stderr: "null",
          signal: AbortSignal.timeout(60_000),
        }).output();
        return new TextDecoder().decode(stdout);
      };
      const events = (await Deno.readTextFile(file)).split("\n")
        .filter((line) => line.startsWith('{"at"')).map((line) => JSON.parse(line))
        // Those that are shown at first.
        .filter(({ kind, window, name }) =>
          kind !== "register" || (window !== "device" && name !== "config_generation")
        );
      const first = await shown(1);
      assertMatch(first, new RegExp(`1 of ${events.length}, 0\\.000 ms`));
      assertMatch(first, /<svg class="ladder"/);
      assertMatch(first, /<section class="card timeline">/);
      assert(!first.includes("<small>split ring of"), "there is a ring before it was set up");
      const request = events.findIndex(({ kind }) => kind === "request");
      const { descriptors } = events[request];
      const then = await shown(request + 1);
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
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
