import {
  formatScsiAddress,
  type ScsiClient,
  ScsiDisk,
  type ScsiUnit,
} from "../../../classes/scsi/mod.ts";
import type { Command } from "../../command.ts";
import { errorJson } from "../../error_json.ts";
import { EXIT, messageOf } from "../../exit.ts";
import { printDeviceJson } from "../../json.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";
import { printable } from "../../printable.ts";

/** What is told of a unit. */
interface Row {
  readonly unit: ScsiUnit;
  readonly id?: string;
  readonly capacity?: number;
  readonly blockSize?: number;
  readonly readOnly?: boolean;
  readonly error?: unknown;
}

/** Lists the logical units of a SCSI adapter. */
export const list: Command = {
  name: "scsi list",
  summary: "List the logical units of a SCSI adapter",
  usage: "",
  words: [0, 0],
  options: [DEVICE_OPTION],
  examples: [
    ["scsi list --machine simulated", "the units of an adapter made of a device model"],
    ["scsi list --device 00:03.0 --json", "those of one adapter, for programs"],
  ],
  notes: [
    "Each line: target and LUN, type, vendor, product, revision, bytes, bytes of a block, name.",
    "Units are found by REPORT LUNS and INQUIRY on each target; 256 at most.",
  ],
  async run(context) {
    await using use = await useDevice(context, "scsi");
    const { client, address } = use.device;
    const units = await context.until(client.scan());
    const rows = await context.until(Promise.all(units.map((unit) => rowOf(client, unit))));
    if (context.options.json) {
      printDeviceJson(context, "scsi list", use, { units: rows.map(jsonOf) });
      return EXIT.done;
    }
    if (rows.length === 0) context.talk(`No logical units on ${address}`);
    for (const row of rows) context.io.out(printable(lineOf(row)));
    return EXIT.done;
  },
};

/** One broken unit must not keep us from the others. */
async function rowOf(client: ScsiClient, unit: ScsiUnit): Promise<Row> {
  if (!ScsiDisk.fits(unit.inquiry)) return { unit };
  try {
    const disk = await client.disk(unit.address);
    const { capacity, blockSize, readOnly } = disk;
    return { unit, capacity, blockSize, readOnly, id: await disk.id() };
  } catch (error) {
    return { unit, error };
  }
}

function lineOf({ unit: { address, inquiry }, capacity, blockSize, readOnly, id, error }: Row) {
  const size = capacity === undefined
    ? error === undefined ? "" : messageOf(error)
    : capacity === 0
    ? "no medium"
    : `${capacity} bytes in blocks of ${blockSize}${readOnly ? ", read-only" : ""}`;
  return [
    formatScsiAddress(address).padEnd(7),
    inquiry.typeName.padEnd(8),
    inquiry.vendor.padEnd(8),
    inquiry.product.padEnd(16),
    inquiry.revision.padEnd(4),
    id ? `${size} ${JSON.stringify(id)}` : size,
  ].join(" ").trimEnd();
}

function jsonOf({ unit: { address, inquiry }, ...disk }: Row): object {
  const nothing = { id: null, capacity: null, blockSize: null, readOnly: null, error: null };
  const { error } = disk;
  return { ...address, ...inquiry, ...nothing, ...disk, error: error ? errorJson(error) : null };
}
