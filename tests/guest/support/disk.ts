/**
 * Disks as jobs use them: in blocks whose content says which block it is, and which version of it.
 *
 * @module
 */

import type { BlockClient } from "../../../classes/block/mod.ts";
import type { Device, Kernel } from "../../../mod.ts";
import { address } from "./job.ts";

/** Bytes of a block. */
export const BLOCK = 16 * 1024;

/** What belongs into a block. */
export function block(index: number, version: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(BLOCK).map((_, i) => i * 7 + index * 31 + version * 101);
}

/** Whether a disk has a version of a block. */
export async function has(client: BlockClient, index: number, version: number): Promise<boolean> {
  const wanted = block(index, version);
  const found = await client.read(index * BLOCK, BLOCK);
  return found.every((byte, at) => byte === wanted[at]);
}

/** Attaches a disk by its name on the machine. */
export async function attachDisk(kernel: Kernel, name: string): Promise<Device<"block">> {
  const device = await kernel.attach(address(name));
  if (device.class === "block") return device;
  await device[Symbol.asyncDispose]();
  throw new Error(`${name} is no disk`);
}
