/**
 * A program that attaches and gives back devices again and again, and prints what it held at first and at last.
 *
 * @module
 */

import { openKernel } from "../../mod.ts";
import { children, descriptors } from "./leaks.ts";

const ROUNDS = 20;

async function round(): Promise<void> {
  for (const isolation of ["process", "inline"] as const) {
    await using kernel = await openKernel({ machine: "simulated", isolation });
    const random = await kernel.attachFirst("entropy");
    const disk = await kernel.attachFirst("block");
    await disk.client.write(0, await random.client.read(4096));
  }
}

async function held() {
  const { gc } = globalThis as unknown as { gc(): void };
  for (let i = 0; i < 5; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const maps = await Deno.readTextFile("/proc/self/maps");
  return {
    descriptors: descriptors(),
    children: children(),
    mappings: maps.split("\n").filter((line) => line.includes("/memfd:virtio-")).length,
  };
}

if (import.meta.main) {
  await round();
  const before = await held();
  for (let i = 0; i < ROUNDS; i++) await round();
  console.log(JSON.stringify({ before, after: await held() }));
}
