/**
 * Every lie of the catalogue, told to the console driver: it is refused, ended or served, in bounded time, without a byte
 * that was not sent, and nothing stays behind.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { ConsoleModel } from "@virtio/console/model";
import { lie, type LieId, LIES, lying } from "../core/simulation/hostile.ts";
import { fitted, RING_PACKED } from "../core/simulation/model.ts";
import { DRIVERS } from "../drivers.ts";
import { openKernel } from "../mod.ts";
import { leftovers } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern } from "./support/machine.ts";

/** How long a port that is silent is listened to. */
const SILENCE_MS = 300;
const ROUNDS = 8;
const BYTES = 6000;

/** Refused at the start, by which error; else what became of the device. */
const OUTCOME = /^(attach: (DeviceFault|PciFault|PlanError|DriverGone): .|served$|silent$|gone: .)/;
/**
 * A stream's bytes cannot be told from others: they are those that the device says it wrote, cut down to the room that
 * there was, in the order in which it says so, wherever it wrote them.
 */
const GARBLED: readonly LieId[] = ["D-45", "D-54", "D-62", "D-66"];

/** The catalogue, in the order of its numbers; rings are lied about in both kinds. */
const CASES = LIES.filter((id) => id !== "D-24").flatMap((id): (readonly [LieId, boolean])[] =>
  id >= "D-41" && id <= "D-63" ? [[id, false], [id, true]] : [[id, false]]
);

for (const [id, packed] of CASES) {
  for (const several of [true, false]) {
    Deno.test(`${id}: a console that ${lie(id).does} (${form(several, packed)})`, async () => {
      const left = await leftovers(async () => {
        const result = await outcome(id, packed, several);
        if (result !== "garbled") assertMatch(result, OUTCOME);
        else assert(GARBLED.includes(id), "there are bytes that were not sent");
      });
      assertEquals(left, []);
    });
  }
}

function form(several: boolean, packed: boolean): string {
  return `${several ? "many ports" : "one port"}, ${packed ? "packed" : "split"} ring`;
}

async function outcome(id: LieId, packed: boolean, several: boolean): Promise<string> {
  const model = new ConsoleModel(several ? { ports: { 0: { echo: true } } } : {});
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [lying(packed ? fitted(model, { with: RING_PACKED }) : model, id)],
    drivers: DRIVERS,
    isolation: "inline",
    restarts: 1,
  });
  let device;
  try {
    device = await kernel.attachFirst("console");
  } catch (error) {
    return `attach: ${error}`;
  }
  const port = await device.client.find(0, SILENCE_MS);
  if (!port) return await fate();
  const sent = pattern(ROUNDS * BYTES, 1);
  let at = 0;
  const open = port.open();
  const writes = Array.from({ length: ROUNDS }, (_, i) => sent.subarray(i * BYTES, (i + 1) * BYTES))
    .map((bytes) => open.then(() => port.write(bytes)));
  if (!several) model.send(0, sent);
  // What is lost is lost, but what comes is what was sent, in its order.
  const all = Promise.allSettled(writes);
  try {
    for (;;) {
      const bytes = await within(SILENCE_MS, (signal) => port.read(signal));
      if (!bytes) break;
      for (const byte of bytes) {
        while (at < sent.length && sent[at] !== byte) at++;
        if (at++ === sent.length) return "garbled";
      }
      if (at === sent.length) break;
    }
  } catch (error) {
    if (!["silence", "not open", "driver is gone"].some((why) => String(error).includes(why))) {
      throw error;
    }
  }
  const result = await fate(at === sent.length);
  await kernel[Symbol.asyncDispose]();
  await all; // nothing hangs
  return result;

  async function fate(served = false): Promise<string> {
    if (served) return "served";
    const gone = await within(20, (signal) => Promise.race([device!.gone, aborted(signal)]));
    return gone === undefined ? "silent" : `gone: ${gone}`;
  }
}

/** Does something with a signal that is aborted after some milliseconds. */
async function within<T>(
  milliseconds: number,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new Error("silence")), milliseconds);
  try {
    return await act(controller.signal);
  } finally {
    clearTimeout(timer);
  }
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined)));
}
