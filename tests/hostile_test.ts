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
import "./support/libc.ts";
import { CAPACITY, pattern } from "./support/machine.ts";

/** What comes of a lie: how far the device came, and the error; or all is served. */
type Outcome = string;

const SERVED: Outcome = "served";
/** How long a request may take, in milliseconds; less where none will be answered. */
const DEADLINE = 1000, SILENT_DEADLINE = 200;
const SILENT: readonly LieId[] = ["D-64", "D-65"];

/** Refused before the driver is asked: the type of the error and what it says. */
const refused = (type: string, says: string) => new RegExp(`^attach: ${type}: .*${says}`);
/** Put out of work: why. */
const lost = (says: string) => new RegExp(`^gone: .*${says}`);

/** A request that failed. */
const failed = /^request: RequestError: Cannot read .*: the device's answer was invalid$/;
/** The lie is told about something that this driver does not look at, or does it no harm. */
const served = /^served$/;

/** The response to each lie: of both kinds of ring, or of the split and of the packed one. */
const RESPONSES: Readonly<Record<LieId, RegExp | readonly [split: RegExp, packed: RegExp]>> = {
  "D-01": refused("PciFault", "the capability pointer 0x40 leads in a circle"),
  "D-02": refused("PciFault", "the capability pointer 0x3c leads into the header"),
  "D-03": refused("DeviceFault", "has 8 bytes instead of 16 .*\\[D-03\\]"),
  "D-04": served,
  "D-05": refused("DeviceFault", "names BAR 6 .*\\[D-05\\]"),
  "D-06": refused("DeviceFault", "names BAR 2, which is no memory BAR .*\\[D-06\\]"),
  "D-07": refused("DeviceFault", "ends at 16424 in BAR 4 of 16384 bytes .*\\[D-07\\]"),
  "D-08": refused("DeviceFault", "ends at 4294971392 in BAR 4 of 16384 bytes .*\\[D-0[78]\\]"),
  "D-09": refused("DeviceFault", "a structure at the odd offset 2 .*\\[D-09\\]"),
  "D-10": refused("DeviceFault", "has a structure of 0 bytes, 56 are needed .*\\[D-10\\]"),
  "D-11": refused("DeviceFault", "no usable notification structure: .*\\[D-11\\]"),
  "D-12": refused("DeviceFault", "structure overlaps the .* structure in BAR 4 \\[D-12\\]"),
  "D-13": refused("DeviceFault", "notified at byte 262140 of .* structure of 4 \\[D-13\\]"),
  "D-14": refused("DeviceFault", "multiplier 3 is neither 0 nor an even .*\\[D-14\\]"),
  "D-15": served,
  // The identity is read once, when the function is found.
  "D-16": served,
  "D-17": served,
  "D-18": served,
  "D-19": refused("DeviceFault", "does not keep its status: .*\\[D-19\\]"),
  "D-20": refused("DeviceFault", "it clears FEATURES_OK .*; tried: 0x.*\\[D-20\\]"),
  "D-21": refused("DeviceFault", "status reads as all ones: the device is gone \\[D-21\\]"),
  "D-22": refused("DeviceFault", "set DEVICE_NEEDS_RESET while it was started \\[D-22\\]"),
  "D-23": refused("DeviceFault", "does not offer VIRTIO_F_VERSION_1 \\[D-23\\]"),
  // Shows when it is given back; see below.
  "D-24": served,
  "D-25": refused("DeviceFault", "raised its status to \\d+ after its reset \\[D-25\\]"),
  // They are read once, and that is what counts.
  "D-26": served,
  "D-27": served,
  // What the device does not have it does not take either, when a driver agrees to it.
  "D-28": /^served$|^attach: DeviceFault: The device refuses every set of features.*\[D-20\]$/,
  "D-29": served,
  "D-30": served,
  "D-31": refused("DeviceFault", "says that it has 65535 virtqueues \\[D-31\\]"),
  "D-32": refused("PlanError", "has the index 0, and the device has no such queue"),
  // A packed ring may have any size.
  "D-33": [refused("PlanError", "the device's queue 0 has the size 3: .*\\[D-33\\]"), served],
  // Legal: drivers take less.
  "D-34": served,
  "D-35": refused("DeviceFault", "does not take the size \\d+ \\[D-35\\]"),
  "D-36": refused("DeviceFault", "does not let itself be enabled \\[D-36\\]"),
  "D-37": refused("DeviceFault", "configuration changed during each of 10 reads .*\\[D-37\\]"),
  "D-38":
    /^served$|^attach: DriverGone: The driver declines: its capacity of \d+ sectors cannot be true/,
  // A disk without a sector, as the kernel looks once more when the device is in use.
  "D-39": /^served$|^request: RangeError: Cannot \w+ \d+ bytes at 0: the device ends at 0$/,
  "D-40": /^served$|^attach: DriverGone: The driver declines: its configuration of 4 bytes/,
  "D-41": lost("the device used descriptor \\d+ of a queue of \\d+ \\[D-41\\]"),
  "D-42": lost("the device used descriptor \\d+, which heads no request in flight \\[D-42\\]"),
  // Which rule depends on how many are seen at once.
  "D-43": lost("the device .*\\[D-4[28]\\]"),
  // An entropy request has no second descriptor.
  "D-44": /^served$|^gone: .*the device used descriptor 1, which heads no request.*\[D-42\]/,
  // Cut down to the room that there was, and counted.
  "D-45": served,
  "D-46": failed,
  // Half an answer is a legal one of an entropy source.
  "D-47": /^served$|^request: RequestError: Cannot read .*: the device's answer was invalid$/,
  "D-48": [
    lost("the device moved the used index by \\d+ with \\d+ requests in flight \\[D-48\\]"),
    lost("which heads no request in flight \\[D-42\\]"),
  ],
  "D-49": lost("the device moved the used index by \\d+ .*\\[D-48\\]"),
  "D-50": /^request: .*the device's answer was invalid$|^gone: .*\[D-4[12]\]$/,
  "D-51": lost("the device used descriptor 4294967295 of a queue of \\d+ \\[D-41\\]"),
  "D-52": served,
  "D-53": served,
  // A client cannot tell from a good answer what is written over it before it was copied out.
  "D-54": /^served$|^wrong bytes$/,
  "D-55": served,
  "D-56": served,
  // Found by the slow look.
  "D-58": served,
  "D-59": served,
  // A driver in a process may have looked before the device spoils what it wrote.
  "D-60": /^(served$|gone: .*the device left neither flag in slot 0, .*\[D-60\])/,
  "D-61": served,
  "D-62": served,
  "D-63": lost("the device .*\\[D-4[128]\\]"),
  "D-64": lost(`The device did not finish a request within ${SILENT_DEADLINE} ms`),
  "D-65": lost(`The device did not finish a request within ${SILENT_DEADLINE} ms`),
  "D-66": served,
  "D-67": served,
  // Found by the slow look.
  "D-68": served,
  "D-69": served,
  // Polled.
  "D-70": served,
  "D-71": served,
  "D-72": served,
  "D-73": lost("status reads as all ones: the device is gone \\[D-21\\]"),
  // Started anew, and the requests with it.
  "D-76": served,
  "D-77": served,
  "D-79": served,
};

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
    assertMatch(result, served);
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
