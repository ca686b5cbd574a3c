/**
 * Devices that lie: each lie of the catalogue, told by each device to its driver.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import { EntropyModel } from "@virtio/random/model";
import { RequestError } from "../core/bus/request_error.ts";
import type { Isolation } from "../core/kernel/driver_host.ts";
import { lie, type LieId, LIES, lying } from "../simulation/hostile.ts";
import { type DeviceModel, fitted, RING_PACKED } from "../simulation/model.ts";
import { openImpatient } from "./support/impatient.ts";
import { leftovers } from "./support/leaks.ts";
import {
  DEADLINE,
  type Outcome,
  RESPONSES,
  SERVED,
  SILENT,
  SILENT_DEADLINE,
} from "./support/responses.ts";
import "./support/libc.ts";
import { CAPACITY, pattern } from "./support/machine.ts";

/** Lies about rings are told about packed ones too. */
const ABOUT_RINGS = (id: LieId) => id === "D-33" || id >= "D-41" && id <= "D-63";

/** Lies that are told in a process too: one of each kind. */
const IN_PROCESS: readonly LieId[] = [
  "D-01",
  "D-20",
  "D-33",
  "D-37",
  "D-41",
  "D-43",
  "D-46",
  "D-60",
  "D-64",
  "D-77",
];

interface Setting {
  readonly isolation: Isolation;
  readonly ring: "split" | "packed";
}

Deno.test("RESPONSES: has every lie of the catalogue", () => {
  assertEquals(Object.keys(RESPONSES), [...LIES]);
});

for (const id of LIES.filter((id) => id !== "D-24")) {
  const settings: Setting[] = [{ isolation: "inline", ring: "split" }];
  if (ABOUT_RINGS(id)) settings.push({ isolation: "inline", ring: "packed" });
  if (IN_PROCESS.includes(id)) settings.push({ isolation: "process", ring: "split" });
  for (const setting of settings) {
    const { isolation, ring } = setting;
    Deno.test(`${id}: a device that ${lie(id).does} (${isolation}, ${ring} ring)`, async () => {
      const response = RESPONSES[id]!;
      const expected = response instanceof RegExp ? response : response[ring === "split" ? 0 : 1];
      for (const deviceClass of ["entropy", "block"] as const) {
        const left = await leftovers(async () => {
          const { result } = await outcome(deviceClass, id, setting);
          assertMatch(result, expected!, deviceClass);
        });
        assertEquals(left, []);
      }
    });
  }
}

Deno.test(`D-24: a device that ${lie("D-24").does} (process)`, async () => {
  const left = await leftovers(async () => {
    const setting = { isolation: "process", ring: "split" } as const;
    const { result, log } = await outcome("block", "D-24", setting);
    assertMatch(result, RESPONSES["D-24"] as RegExp);
    assert(
      log.some((line) => /did not finish its reset within 500 ms.*\[D-24\]/.test(line)),
      `${log}`,
    );
  });
  assertEquals(left, []);
});

async function outcome(
  deviceClass: "entropy" | "block",
  id: LieId,
  { isolation, ring }: Setting,
): Promise<{ result: Outcome; log: readonly string[] }> {
  const log: string[] = [];
  const models: Readonly<Record<"entropy" | "block", DeviceModel>> = {
    entropy: new EntropyModel(),
    block: new DiskModel({ capacity: CAPACITY }),
  };
  if (ring === "packed") fitted(models[deviceClass], { with: RING_PACKED });
  lying(models[deviceClass], id);
  await using kernel = await openImpatient({
    machine: "simulated",
    devices: [models.entropy, models.block],
    isolation,
    requestDeadline: SILENT.includes(id) ? SILENT_DEADLINE : DEADLINE,
    log: (line) => log.push(line),
  });
  const other = await kernel.attachFirst(deviceClass === "block" ? "entropy" : "block");
  const result = await use(() => kernel.attachFirst(deviceClass));
  assertEquals(await use(() => Promise.resolve(other)), SERVED, "the other device");
  await kernel[Symbol.asyncDispose]();
  return { result, log };
}

/** Attaches a device and asks much of it. */
async function use(attach: () => Promise<Device>): Promise<Outcome> {
  let device: Device;
  try {
    device = await attach();
  } catch (error) {
    return `attach: ${error}`;
  }
  try {
    for (let round = 0; round < 3; round++) {
      const work = device.class === "block"
        ? useDisk(device as Device<"block">, round)
        : useEntropy(device as Device<"entropy">);
      await work;
    }
    return SERVED;
  } catch (error) {
    if (error instanceof WrongBytes) return error.message;
    assert(error instanceof RequestError || error instanceof RangeError, String(error));
    if (!error.message.includes("the driver is gone")) return `request: ${error}`;
    return `gone: ${await device.gone}`;
  }
}

/** Other bytes than those that were written came as good ones. */
class WrongBytes extends Error {}

async function useDisk({ client }: Device<"block">, round: number): Promise<void> {
  const bytes = pattern(100 * 1024, round);
  const offsets = Array.from({ length: 20 }, (_, i) => i * bytes.length);
  const write = async () => {
    await Promise.all(offsets.map((offset) => client.write(offset, bytes)));
    await client.flush();
  };
  try {
    await write();
  } catch (error) {
    // A reset may lose what was not flushed; an application that is told writes it again (R7).
    if (!(error as Error).message.includes("write it again")) throw error;
    await write();
  }
  for (const read of await Promise.all(offsets.map((at) => client.read(at, bytes.length)))) {
    if (!read.every((byte, i) => byte === bytes[i])) throw new WrongBytes("wrong bytes");
  }
}

async function useEntropy({ client }: Device<"entropy">): Promise<void> {
  // As many bytes as an answer has, so that there are as many requests.
  const all = await Promise.all(Array.from({ length: 30 }, () => client.read(4096)));
  for (const bytes of all) assert(new Set(bytes).size > 10, "these are no random bytes");
}
