/**
 * Drivers that take more than their share: of messages, of output, of bells, of doorbells, of time. Each is bounded, and
 * no other driver pays; and drivers that are only slow are left alone.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { DriverGone } from "../core/kernel/conversation.ts";
import type { OpenOptions } from "../mod.ts";
import { openImpatient } from "./support/impatient.ts";
import { alive, leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern, simulatedMachine } from "./support/machine.ts";
import { entropyDriver, fixture, type Parts, PLAN, WORK } from "./support/plugin.ts";

/** What a driver did beside a disk in use. */
interface Seen {
  /** What was said of it. */
  readonly lines: readonly string[];
  /** Why it was given up, if it was. */
  readonly gone: string | undefined;
}

/** Lets a driver for the entropy device do what it does, while a disk is written and read and timers have to come. */
async function beside(
  parts: Parts,
  use: (read: () => Promise<Uint8Array>, pid: () => number | undefined) => Promise<void>,
  options: OpenOptions = {},
): Promise<Seen> {
  const lines: string[] = [];
  let gone: string | undefined;
  const left = await leftovers(async () => {
    using plugin = fixture(entropyDriver(parts).replace("buffers })", "buffers, ...device })"));
    await using kernel = await openImpatient({
      ...simulatedMachine().options,
      plugins: [plugin.folder],
      restarts: 0,
      log: (line) => lines.push(line),
      ...options,
    });
    const { client } = await kernel.attachFirst("block");
    let over = false;
    let rounds = 0;
    const load = (async () => {
      for (; !over; rounds++) {
        const bytes = pattern(4096, rounds);
        await client.write(rounds % 64 * 4096, bytes);
        assertEquals(await client.read(rounds % 64 * 4096, 4096), bytes);
      }
    })();
    // Not the test's own fault, should it be unhandled for a while.
    load.catch(() => {});
    const device = await kernel.attachFirst("entropy");
    device.gone.then((reason) => gone = reason);
    await use(() => device.client.read(64), () => device.pid);
    const before = rounds;
    assert(await soon(() => rounds > before + 10), "the disk stands still");
    over = true;
    await load;
  });
  assertEquals(left, []);
  return { lines, gone };
}

/** Reads until the device is given up. */
async function toTheEnd(read: () => Promise<Uint8Array>): Promise<void> {
  const end = performance.now() + 60_000;
  await assertRejects(
    async () => {
      while (performance.now() < end) await read();
    },
    Error,
    "gone",
  );
}

Deno.test("a driver that floods the core with messages is ended with one sentence #core:P-13", async () => {
  const { gone } = await beside({
    rung: `${WORK}
      for (let i = 0; i < 200; i++) { try { device.setProperties({ x: i }); } catch { break; } }`,
  }, toTheEnd);
  assertEquals(gone, "the driver sent more than 4096 messages, or 2097152 bytes, in a second");
});

Deno.test("a driver that floods the core in every life is ended in every life #core:P-33", async () => {
  const { lines, gone } = await beside(
    {
      rung: `${WORK}
      for (;;) { try { device.setProperties({ x: "x".repeat(9999) }); } catch { break; } }`,
    },
    toTheEnd,
    { restarts: 3 },
  );
  assertMatch(gone ?? "", /sent more than/);
  assertEquals(lines.filter((line) => line.includes("starting anew")).length, 3, lines.join("\n"));
});

Deno.test("a driver that prints without end waits, and no other does #core:P-34", async () => {
  const { gone } = await beside({
    load: `const block = new TextEncoder().encode("a line of a flood\\n".repeat(1000));`,
    rung: `${WORK} if (requests.counters.completed > 2) for (;;) Deno.stdout.writeSync(block);`,
  }, toTheEnd);
  assertMatch(gone ?? "", /gave no sign of life for [\d.]+ s: it hangs/);
});

Deno.test("a driver that rings its device's doorbell all the time keeps no other from work #core:P-29", async () => {
  const { gone } = await beside({
    rung:
      `${WORK} if (requests.counters.completed > 2) for (let i = 0; i < 1000; i++) requests.kick();`,
  }, async (read) => {
    for (let i = 0; i < 200; i++) assertEquals((await read()).length, 64);
  });
  assertEquals(gone, undefined);
});

Deno.test("a driver that changes what it has said, after it has said it, does not fool the core #core:P-27", async () => {
  const { gone } = await beside({
    load: "const seen = new Set();",
    rung: `
      requests.drain((slot, written) => { lane.complete(slot, 0, written); seen.add(slot); });
      for (let i = 0; i < 100; i++) {
        for (const slot of seen) {
          lane.setWord(slot, 2, i % 2 ? 0xffffffff : 64);
          lane.setWord(slot, 1, i % 7);
        }
      }
      lane.take((slot) => {
        seen.delete(slot);
        requests.begin(slot);
        requests.writable(lane.offset(slot), 64);
        return requests.commit();
      });`,
  }, async (read) => {
    // Each read ends, once, with so many bytes or an error; the core judges each by one look.
    const ends = await Promise.allSettled(Array.from({ length: 500 }, read));
    assertEquals(ends.length, 500);
    for (const end of ends) if (end.status === "fulfilled") assertEquals(end.value.length, 64);
  });
  assertMatch(gone ?? "as it must not", /as it must not/);
});

Deno.test("a driver whose every turn takes a tenth of a second is slow, and does not hang #core:slow", async () => {
  const slow = "for (const end = performance.now() + 100; performance.now() < end;);";
  const { lines, gone } = await beside({ rung: `${WORK} ${slow}` }, async (read, pid) => {
    const first = pid();
    // Longer than a driver that hangs gets.
    for (const end = performance.now() + 2500; performance.now() < end;) await read();
    assertEquals(pid(), first);
  });
  assertEquals([gone, lines], [undefined, []]);
});

Deno.test("a driver that was killed is no more when the next one gets its memory #core:P-35", async () => {
  await beside({}, async (read, pid) => {
    for (let kills = 0; kills < 3; kills++) {
      const before = pid()!;
      let next: number | undefined;
      Deno.kill(before, "SIGKILL");
      assert(await soon(() => (next = pid()) !== before && next !== undefined));
      assert(!alive(before), "both lived at once");
      assertEquals((await read()).length, 64);
    }
  }, { restarts: 3 });
});

Deno.test("a driver that asks for the same queue to be reset again and again is at fault #core:P-29", async () => {
  const { gone } = await beside({
    rung: `${WORK}
      if (requests.counters.completed > 2 && device.canResetQueues) {
        Map.prototype.has = () => false;
        for (let i = 0; i < 10; i++) device.resetQueue("requests");
      }`,
  }, async (read) => {
    for (let i = 0; i < 100; i++) if (!await read().then(() => true, () => false)) break;
  });
  // A shim that does not depend on what a driver can replace asks once.
  assertMatch(gone ?? "which cannot be", /which cannot be|did not send emptied|driver failed/);
});

Deno.test("a driver that loops in its first seconds is found in its own time #core:hang", async () => {
  using plugin = fixture(entropyDriver({ plan: `for (;;); return ${PLAN};` }));
  await using kernel = await openImpatient({
    ...simulatedMachine().options,
    plugins: [plugin.folder],
    restarts: 0,
  });
  const error = await assertRejects(() => kernel.attachFirst("entropy"), DriverGone);
  assertMatch(error.message, /gave no sign of life for [\d.]+ s: it hangs, it works without end/);
});
