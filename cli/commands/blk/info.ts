import { BlockClient, type BlockDevice } from "../../../classes/block/mod.ts";
import { sizeInFull } from "../../block/size.ts";
import type { Command } from "../../command.ts";
import { DISK_OPTIONS, useDrive } from "../../disk.ts";
import { EXIT } from "../../exit.ts";
import { printFacts } from "../../facts.ts";
import { printDeviceJson } from "../../json.ts";

/** Tells what a disk is. */
export const blkInfo: Command = {
  name: "blk info",
  summary: "Tell what a disk is, and what it can do",
  usage: "",
  words: [0, 0],
  options: DISK_OPTIONS,
  examples: [
    ["blk info --machine simulated", "the disk of the simulated machine"],
    ["blk info --machine qemu --json", "that of a QEMU machine, for programs"],
  ],
  notes: [],
  async run(context) {
    await using use = await useDrive(context);
    const { disk, device } = use;
    const { address, driver } = device;
    const told = { ...await common(disk), ...await more(disk) };
    if (context.options.json) {
      printDeviceJson(context, "blk info", use, told);
      return EXIT.done;
    }
    const facts = Object.entries({ address, driver, ...told }).map(([name, fact]) =>
      [name, name === "capacity" ? sizeInFull(Number(fact)) : plain(fact)] as const
    );
    printFacts(context, facts);
    return EXIT.done;
  },
};

async function common(disk: BlockDevice): Promise<object> {
  const { capacity, blockSize, readOnly, writeCache, canDiscard, canWriteZeroes } = disk;
  const id = await disk.id();
  const medium = disk.medium !== 0;
  return { id, capacity, blockSize, readOnly, writeCache, canDiscard, canWriteZeroes, medium };
}

/** What only a block device tells. */
async function more(disk: BlockDevice): Promise<object> {
  if (!(disk instanceof BlockClient)) return {};
  const { canSecureErase, canSwitchCache, topology, geometry, zones } = disk;
  const { blockSize: _, ...blocks } = topology;
  return {
    canSecureErase,
    canSwitchCache,
    ...blocks,
    geometry: geometry ?? null,
    lifetime: disk.tellsLifetime ? await disk.lifetime() : null,
    zones: zones
      ? {
        size: zones.zoneSize,
        hostManaged: zones.hostManaged,
        mostOpen: zones.mostOpen,
        mostActive: zones.mostActive,
      }
      : null,
  };
}

/** A fact for people. */
function plain(fact: unknown): string {
  if (fact === null || fact === "") return "none";
  if (typeof fact === "boolean") return fact ? "yes" : "no";
  if (typeof fact !== "object") return String(fact);
  return Object.entries(fact).map(([name, value]) => `${name} ${plain(value)}`).join(", ");
}
