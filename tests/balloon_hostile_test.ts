/**
 * Balloons that lie: each lie of the catalogue, told by one to its driver. Another device beside it goes on working.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { BalloonModel } from "@virtio/balloon/model";
import { EntropyModel } from "@virtio/random/model";
import { lie, type LieId, LIES, lying } from "../core/simulation/hostile.ts";
import { DRIVERS } from "../drivers.ts";
import { openKernel } from "../mod.ts";
import { leftovers } from "./support/leaks.ts";
import "./support/libc.ts";

/** Refused before the driver is asked, by the lie's own rule. */
const REFUSED = ["03", "05", "06", "07", "09", "10", "11", "12", "13", "14", "19"]
  .concat(["20", "21", "22", "23", "25", "31", "33", "35", "36", "37"]);
/** Put out of work, by the lie's own rule or by one that shows earlier. */
const LOST: Readonly<Record<string, string>> = {
  "41": "D-41",
  "42": "D-42",
  "43": "D-4[28]",
  "48": "D-48",
  "49": "D-48",
};
/** Other responses than that all is served. */
const OTHERS: Readonly<Record<string, RegExp>> = {
  "01": /^attach: PciFault: .*leads in a circle/,
  "02": /^attach: PciFault: .*leads into the header/,
  "08": /^attach: DeviceFault: .*\[D-0[78]\]$/,
  "32": /^attach: PlanError: .*queue inflate has the index 0, and the device has no such queue/,
  // All pages that there are, less those that stay.
  "38": /^settled at {"requested":4294967295,"target":768,"actual":768}/,
  // The driver does not hear what the hypervisor wants, and nothing else happens.
  "39": /^settled at {"requested":0,/,
  "68": /^settled at {"requested":0,/,
  "40": /^attach: DriverGone: The driver declines: its configuration of 4 bytes/,
  // Depends on when the device spoils what the driver looks at.
  "50": /^served$|^gone: .*\[D-4[12]\]$/,
  "51": /^served$|^gone: .*\[D-4[128]\]$/,
  "60": /^served$|^gone: .*\[D-60\]|^gone: .*left neither flag/,
  "63": /^served$|^gone: .*\[D-4[128]\]$/,
  "64": /^gone: The device did not finish a request within 5000 ms/,
  "65": /^gone: The device did not finish a request within 5000 ms/,
  "73": /^served$|^gone: .*status reads as all ones: the device is gone \[D-21\]/,
};

function response(id: LieId): RegExp {
  const number = id.replace("D-", "");
  if (REFUSED.includes(number)) return new RegExp(`^attach: (Device|Plan)\\w+: .*\\[${id}\\]$`);
  if (LOST[number]) return new RegExp(`^gone: On queue inflate the device .*\\[${LOST[number]}\\]`);
  return OTHERS[number] ?? /^served$/;
}

/** Sizes that the hypervisor wants, one after the other. */
const SIZES = [300, 0, 700, 10, 500, 0, 256];
/** How long each may take, in milliseconds. */
const PATIENCE = 4000;
/** Devices that are not started anew, so that their deadlines do not add up. */
const ONCE: readonly LieId[] = ["D-64", "D-65"];

/** How far a balloon comes that tells a lie. */
async function outcome(id: LieId): Promise<string> {
  const model = lying(new BalloonModel(), id);
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [model, new EntropyModel()],
    drivers: DRIVERS,
    isolation: "inline",
    tunables: { "balloon.arena_mib": 4 },
    ...(ONCE.includes(id) && { restarts: 0 }),
  });
  const { client: other } = await kernel.attachFirst("entropy");
  const result = await use();
  assertEquals((await other.read(1000)).length, 1000, "the other device");
  return result;

  async function use(): Promise<string> {
    let device;
    try {
      device = await kernel.attachFirst("balloon");
    } catch (error) {
      return `attach: ${error}`;
    }
    for (const size of SIZES) {
      model.want(size);
      const late = AbortSignal.timeout(ONCE.includes(id) ? 2 * PATIENCE : PATIENCE);
      let over = true;
      for await (const { requested, actual } of device.client.changes(late)) {
        over = requested !== size || actual !== size;
        if (!over) break;
      }
      if (late.aborted) return `settled at ${JSON.stringify(device.client.state)}`;
      if (over) return `gone: ${await device.gone}`;
    }
    return "served";
  }
}

for (const id of LIES) {
  Deno.test(`${id}: a balloon that ${lie(id).does}`, async () => {
    const left = await leftovers(async () => assertMatch(await outcome(id), response(id)));
    assertEquals(left, []);
  });
}
