/**
 * What a driver may do besides queues and lanes: write the configuration, tell properties, count, ask for page frames.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { bit, Feature } from "../core/virtio/features.ts";
import type { DeviceModel } from "../simulation/model.ts";
import { openKernel, type OpenOptions } from "../mod.ts";
import "./support/libc.ts";
import { entropyDriver, fixture } from "./support/plugin.ts";

/** An entropy device with a configuration: a word that the driver may write, and one that it may not. */
class ConfigModel implements DeviceModel {
  readonly id = 4;
  readonly queues = [8];
  readonly config = new Uint8Array(8);
  readonly written: string[] = [];

  handle(): number {
    return 0;
  }

  configWrite(offset: number, value: number, width: number): void {
    this.written.push(`${offset}:${width}=${value}`);
    new DataView(this.config.buffer).setUint32(offset, value, true);
  }
}

const MANIFEST = { config: { target: "u32", actual: "u32 rw" } };

async function attached(start: string, model: ConfigModel, options: OpenOptions = {}) {
  using plugin = fixture(entropyDriver({ start }).replace("buffers })", "...device })"), {
    manifest: MANIFEST,
  });
  const kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    plugins: [plugin.folder],
    restarts: 0,
    ...options,
  });
  try {
    return { kernel, device: await kernel.attachFirst("entropy") };
  } catch (error) {
    await kernel[Symbol.asyncDispose]();
    throw error;
  }
}

Deno.test("writeConfig() writes a field that the manifest lets it write, before DRIVER_OK", async () => {
  const model = new ConfigModel();
  const { kernel } = await attached(`device.writeConfig("actual", 0xfffffffe);`, model);
  assertEquals(model.written, ["4:4=4294967294"]);
  await kernel[Symbol.asyncDispose]();
});

for (
  const [call, says] of [
    [`device.writeConfig("target", 1)`, /writes 1 to the configuration field target/],
    [
      `device.writeConfig("actual", 2 ** 32)`,
      /writes 4294967296 to the configuration field actual/,
    ],
    [`device.writeConfig("other", 1)`, /configuration field other, which its plugin.json lacks/],
    [`device.writeConfig("actual", -1)`, /writeConfig.value = -1: a whole number is wanted/],
  ] as const
) {
  Deno.test(`${call} is the driver's fault, and nothing is written`, async () => {
    const model = new ConfigModel();
    const error = await assertRejects(() => attached(`${call};`, model), Error);
    assertMatch(error.message, says);
    assertEquals(model.written, []);
  });
}

Deno.test("Device.config is what stands there once features are agreed", async () => {
  const model = new ConfigModel();
  model.config.set([7, 0, 0, 0]);
  const { kernel } = await attached(
    `device.writeConfig("actual", device.config.u32(0) * 6);`,
    model,
  );
  assertEquals(model.written, ["4:4=42"]);
  await kernel[Symbol.asyncDispose]();
});

Deno.test("statistics() is what describe() shows", async () => {
  using plugin = fixture(
    entropyDriver().replace("return { rung()", "return { statistics: () => ({ kicks: 3 }), rung()"),
  );
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [new ConfigModel()],
    plugins: [plugin.folder],
  });
  const device = await kernel.attachFirst("entropy");
  assertEquals((await device.describe()).statistics, { kicks: 3 });
});

Deno.test("what start() commits is with the device before that is live #core:speaks_first", async () => {
  using plugin = fixture(
    entropyDriver({
      plan: `return {
      queues: { requests: { index: 0, size: 8 } },
      lanes: { requests: { slots: 8, slotBytes: 4096 } },
      buffers: { own: 16 },
    };`,
      start: `
      requests.begin(0);
      requests.writable(buffers.own.offset, 16);
      requests.commit();
      let early;`,
      // It works for the first time when the device is live, and publishes afterwards.
      rung: "early ??= requests.counters.published; requests.drain(() => {});",
    }).replace("return { rung()", "return { statistics: () => ({ early }), rung()"),
  );
  const model = new ConfigModel();
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    plugins: [plugin.folder],
  });
  const device = await kernel.attachFirst("entropy");
  assertEquals((await device.describe()).statistics, { early: 1 });
});

Deno.test("readConfig() has the configuration read after what was written before #core:read_config", async () => {
  // A device that shows the double of what is written.
  class Doubles extends ConfigModel {
    override configWrite(offset: number, value: number): void {
      new DataView(this.config.buffer).setUint32(0, 2 * value, true);
      assertEquals(offset, 4);
    }
  }
  for (const when of ["start", "rung"] as const) {
    const ask = 'device.writeConfig("actual", 21); device.readConfig();';
    const asked = when === "start" ? { start: ask } : { rung: `if (!told) { told = []; ${ask} }` };
    using plugin = fixture(
      entropyDriver({ load: "let told;", ...asked })
        .replace("buffers })", "...device })")
        .replace(
          "return { rung()",
          `return {
            configured(config) { (told ??= []).push(config.u32(0)); },
            statistics: () => ({ told: told?.[0] ?? 0, times: told?.length ?? 0 }),
            rung()`,
        ),
      { manifest: MANIFEST },
    );
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [new Doubles()],
      plugins: [plugin.folder],
    });
    const device = await kernel.attachFirst("entropy");
    let statistics: Readonly<Record<string, number>> = {};
    for (let tries = 0; tries < 100 && !statistics.told; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      ({ statistics } = await device.describe());
    }
    assertEquals(statistics.told, 42, when);
  }
});

Deno.test("frame() knows page frames if the plan asks for them, and refuses if not", async () => {
  const model = new ConfigModel();
  using plugin = fixture(
    entropyDriver({
      plan: `return {
        queues: { requests: { index: 0, size: 8 } },
        lanes: { requests: { slots: 8, slotBytes: 4096 } },
        buffers: { pages: 8192 },
        physical: true,
      };`,
      start: `
        const { frame, buffers: { pages }, writeConfig } = device;
        if (frame(pages.offset + 4095) !== frame(pages.offset)) throw new Error("one page, two frames");
        writeConfig("actual", frame(pages.offset + 4096));`,
    }).replace("buffers })", "...device })"),
    { manifest: MANIFEST },
  );
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    plugins: [plugin.folder],
    without: bit(Feature.RING_PACKED),
  });
  await kernel.attachFirst("entropy");
  const [, frame] = model.written[0]!.split("=");
  assert(Number(frame) > 0);

  const error = await assertRejects(
    () => attached(`device.writeConfig("actual", device.frame(0));`, new ConfigModel()),
    Error,
  );
  assertMatch(error.message, /Cannot tell a page frame: the plan does not say/);
});
