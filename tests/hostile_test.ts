/**
 * Devices that lie: each lie of the catalogue, told by each device to its driver.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import { EntropyModel } from "@virtio/random/model";
import { RequestError } from "../core/class/request_error.ts";
import type { Device } from "../core/kernel/device.ts";
import type { Isolation } from "../core/kernel/driver_host.ts";
import type { DeviceClass } from "../core/plugin/manifest.ts";
import { lie, type LieId, LIES, lying } from "../core/simulation/hostile.ts";
import type { DeviceModel } from "../core/simulation/model.ts";
import { openKernel } from "../mod.ts";
import { leftovers } from "./support/leaks.ts";
import "./support/libc.ts";
import { CAPACITY, pattern } from "./support/machine.ts";

/** What comes of a lie: how far the device came, and the error; or all is served. */
type Outcome = string;

const SERVED: Outcome = "served";

/** Refused before the driver is asked: the type of the error and what it says. */
const refused = (type: string, says: string) => new RegExp(`^attach: ${type}: .*${says}`);
/** Put out of work: why. */
const lost = (says: string) => new RegExp(`^gone: .*${says}`);

/** The response to each lie. */
const RESPONSES: Readonly<Record<LieId, RegExp>> = {
  "D-01": refused("PciFault", "the capability pointer 0x40 leads in a circle"),
  "D-02": refused("PciFault", "the capability pointer 0x3c leads into the header"),
  "D-03": refused("DeviceFault", "has 8 bytes instead of 16 .*\\[D-03\\]"),
  "D-05": refused("DeviceFault", "names BAR 6 .*\\[D-05\\]"),
  "D-06": refused("DeviceFault", "names BAR 2, which is no memory BAR .*\\[D-06\\]"),
  "D-07": refused("DeviceFault", "ends at 16424 in BAR 4 of 16384 bytes .*\\[D-07\\]"),
  "D-08": refused("DeviceFault", "ends at 4294971392 in BAR 4 of 16384 bytes .*\\[D-0[78]\\]"),
  "D-10": refused("DeviceFault", "has a structure of 0 bytes, 56 are needed .*\\[D-10\\]"),
  "D-11": refused("DeviceFault", "no usable notification structure: .*\\[D-11\\]"),
  // A device that keeps no bit keeps FEATURES_OK neither.
  "D-19": refused("DeviceFault", "\\[D-(19|20)\\]"),
  "D-20": refused("DeviceFault", "it clears FEATURES_OK .*\\[D-20\\]"),
  "D-21": refused("DeviceFault", "status reads as all ones: the device is gone \\[D-21\\]"),
  "D-23": refused("DeviceFault", "does not offer VIRTIO_F_VERSION_1 \\[D-23\\]"),
  // Shows when it is given back; see below.
  "D-24": /^served$/,
  // They are read once, and that is what counts.
  "D-26": /^served$/,
  "D-31": refused("DeviceFault", "says that it has 65535 virtqueues \\[D-31\\]"),
  "D-32": refused("PlanError", "has the index 0, and the device has no such queue"),
  "D-33": refused("PlanError", "the device's queue 0 has the size 3: .*\\[D-33\\]"),
  // Legal: drivers take less.
  "D-34": /^served$/,
  "D-37": refused("DeviceFault", "configuration changed during each of 10 reads .*\\[D-37\\]"),
  "D-41": lost("the device used descriptor \\d+ of a queue of \\d+ \\[D-41\\]"),
  "D-42": lost("the device used descriptor \\d+, which heads no request in flight \\[D-42\\]"),
  // Which rule depends on how many are seen at once.
  "D-43": lost("the device .*\\[D-4[28]\\]"),
  // Cut down to the room that there was, and counted.
  "D-45": /^served$/,
  "D-46": /^request: RequestError: Cannot read .*: the device's answer was invalid$/,
  "D-48": lost("the device moved the used index by \\d+ with \\d+ requests in flight \\[D-48\\]"),
  "D-64": lost("The device finished none of its requests for 300 ms"),
};

/** Lies that are told in a process too: one of each kind. */
const IN_PROCESS: readonly LieId[] = [
  "D-01",
  "D-20",
  "D-33",
  "D-37",
  "D-41",
  "D-43",
  "D-46",
  "D-64",
];

Deno.test("RESPONSES: has every lie of the catalogue", () => {
  assertEquals(Object.keys(RESPONSES), [...LIES]);
});

for (const id of LIES.filter((id) => id !== "D-24")) {
  for (
    const isolation of ["inline", ...IN_PROCESS.includes(id) ? ["process"] as const : []] as const
  ) {
    Deno.test(`${id}: a device that ${lie(id).does} (${isolation})`, async () => {
      for (const deviceClass of ["entropy", "block"] as const) {
        const left = await leftovers(async () => {
          const { result } = await outcome(deviceClass, id, isolation);
          assertMatch(result, RESPONSES[id]!, deviceClass);
        });
        assertEquals(left, []);
      }
    });
  }
}

Deno.test(`D-24: a device that ${lie("D-24").does} (process)`, async () => {
  const left = await leftovers(async () => {
    const { result, log } = await outcome("block", "D-24", "process");
    assertMatch(result, RESPONSES["D-24"]!);
    assert(
      log.some((line) => /did not finish its reset within 5000 ms.*\[D-24\]/.test(line)),
      `${log}`,
    );
  });
  assertEquals(left, []);
});

async function outcome(
  deviceClass: DeviceClass,
  id: LieId,
  isolation: Isolation,
): Promise<{ result: Outcome; log: readonly string[] }> {
  const log: string[] = [];
  const models: Readonly<Record<DeviceClass, DeviceModel>> = {
    entropy: new EntropyModel(),
    block: new DiskModel({ capacity: CAPACITY }),
  };
  lying(models[deviceClass], id);
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [models.entropy, models.block],
    isolation,
    requestDeadline: 300,
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
    assert(error instanceof RequestError, String(error));
    if (!error.message.includes("the driver is gone")) return `request: ${error}`;
    return `gone: ${await device.gone}`;
  }
}

async function useDisk({ client }: Device<"block">, round: number): Promise<void> {
  const bytes = pattern(100 * 1024, round);
  const offsets = Array.from({ length: 20 }, (_, i) => i * bytes.length);
  await Promise.all(offsets.map((offset) => client.write(offset, bytes)));
  await client.flush();
  for (const read of await Promise.all(offsets.map((at) => client.read(at, bytes.length)))) {
    assert(read.every((byte, i) => byte === bytes[i]), "wrong bytes came as good ones");
  }
}

async function useEntropy({ client }: Device<"entropy">): Promise<void> {
  const all = await Promise.all(Array.from({ length: 30 }, () => client.read(64)));
  for (const bytes of all) assert(new Set(bytes).size > 10, "these are no random bytes");
}
