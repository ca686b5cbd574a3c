/**
 * A SCSI adapter that tells each lie of the catalogue: it gets an error that names the rule, or it is served all the
 * same; what it says is never taken for good, and everything ends in time.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { ScsiModel } from "@virtio/scsi/model";
import { RequestError } from "../core/bus/request_error.ts";
import { type LieId, LIES, lying } from "../core/simulation/hostile.ts";
import { fitted, RING_PACKED } from "../core/simulation/model.ts";
import { DRIVERS } from "../drivers.ts";
import { openKernel, Status } from "../mod.ts";
import { leftovers } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern } from "./support/machine.ts";
import { differsAt } from "./support/qemu.ts";

const MIB = 2 ** 20;
const AT_ONCE = 8;
const UNIT = { target: 0, lun: 0 };
/** A request may take so long before the device is given up; one that never answers is given up sooner. */
const DEADLINE = 10_000, SILENT_DEADLINE = 500;
const SILENT: readonly LieId[] = ["D-43", "D-64", "D-65"];

/** Refused before a request is made: the rule, or why the driver declines. */
const REFUSED = /^attach: (DeviceFault|PciFault|PlanError|DriverGone): /;
/** Put out of work: by which rule. */
const LOST = /^gone: .* \[D-\d\d\]$/;

/** Lies that a SCSI driver does not look at, or that do it no harm. */
const HARMLESS: readonly LieId[] = [
  ...["D-04", "D-15", "D-16", "D-17", "D-18", "D-24", "D-26", "D-27", "D-28", "D-29", "D-30"],
  ...["D-34", "D-39", "D-45", "D-52", "D-53", "D-55", "D-56", "D-58", "D-59", "D-61", "D-62"],
  ...["D-66", "D-67", "D-68", "D-69", "D-70", "D-71", "D-72", "D-76", "D-77", "D-79"],
  // Linux's vhost-scsi always says that it wrote nothing; what it wrote says how much that is.
  ...["D-46", "D-47"],
] as LieId[];

for (const ring of ["split", "packed"] as const) {
  const lies = LIES.filter((id) => ring === "split" || id >= "D-41" && id <= "D-63");
  Deno.test(`scsi: ${lies.length} lies, each with the response to it (${ring})`, async () => {
    const left = await leftovers(async () => {
      // Some take seconds in which nothing is done: a few at a time wait together.
      for (let i = 0; i < lies.length; i += AT_ONCE) {
        const some = lies.slice(i, i + AT_ONCE);
        const outcomes = await Promise.all(some.map((id) => outcome(id, ring)));
        some.forEach((id, i) => judge(id, outcomes[i]!));
      }
    });
    assertEquals(left, []);
  });
}

function judge(id: LieId, outcome: string): void {
  const found = `${id}: ${outcome}`;
  if (HARMLESS.includes(id)) assertEquals(outcome, "served", found);
  // A client cannot tell from good data what is written over them before they were copied out.
  else if (id === "D-54") assertMatch(outcome, /^(served|wrong bytes)$/, found);
  // Whether the driver sees it depends on when it looks.
  else if (id === "D-60") assert(outcome === "served" || LOST.test(outcome), found);
  else assert(REFUSED.test(outcome) || LOST.test(outcome), found);
}

/** What comes of a lie. */
async function outcome(id: LieId, ring: "split" | "packed"): Promise<string> {
  const model = new ScsiModel({ units: [{ capacity: MIB }] });
  if (ring === "packed") fitted(model, { with: RING_PACKED });
  lying(model, id);
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    drivers: DRIVERS,
    isolation: "inline",
    requestDeadline: SILENT.includes(id) ? SILENT_DEADLINE : DEADLINE,
  });
  let device;
  try {
    device = await kernel.attachFirst("scsi");
  } catch (error) {
    return `attach: ${error}`;
  }
  try {
    const disk = await device.client.disk(UNIT);
    for (let round = 0; round < 3; round++) {
      const bytes = pattern(MIB, round);
      await disk.write(0, bytes);
      // Where the device was started anew, a flush says that writes may be lost; here none are.
      await disk.flush().catch(() => disk.flush());
      if (differsAt(await disk.read(0, MIB), bytes) !== -1) return "wrong bytes";
    }
    await device.client.manage("queryTaskSet", UNIT);
    return "served";
  } catch (error) {
    assert(error instanceof RequestError, String(error));
    return error.status === Status.gone ? `gone: ${await device.gone}` : `request: ${error}`;
  }
}
