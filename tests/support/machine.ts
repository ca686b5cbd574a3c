/**
 * The machines that whole-system tests run on: the same two devices, simulated or in a QEMU.
 *
 * @module
 */

import { DiskModel } from "@virtio/blk/model";
import { EntropyModel } from "@virtio/random/model";
import type { MachineOptions } from "../../mod.ts";

const MIB = 2 ** 20;
/** Bytes of the disk. */
export const CAPACITY = 16 * MIB;
/** What the disk says that it is. */
export const SERIAL = "VIRTIO-DENO-0001";

/** Why no test can run on a QEMU machine; undefined if they can. */
export const withoutQemu: string | undefined = findQemu()
  ? undefined
  : "there is no qemu-system-x86_64";
if (withoutQemu) console.log(`skipped: ${withoutQemu} (package qemu-system-x86)`);

function findQemu(): boolean {
  try {
    return new Deno.Command("qemu-system-x86_64", { args: ["--version"], stdout: "null" })
      .outputSync().success;
  } catch {
    return false;
  }
}

/** Declares a test on a QEMU machine: ignored, and its name says why, where there is no QEMU. */
export function qemuTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: withoutQemu ? `${name} (${withoutQemu})` : name, ignore: !!withoutQemu, fn });
}

/** A machine with one entropy source and one disk. */
export interface TestMachine extends Disposable {
  /** For `openKernel`. */
  readonly options: MachineOptions;
  /** What stands on the disk, read without this project; undefined where no file is behind it. */
  readonly image: (() => Uint8Array) | undefined;
}

/** Kinds of machine, each with how to make one. */
export const MACHINES: Readonly<Record<string, () => TestMachine>> = {
  simulated: simulatedMachine,
  "qemu q35": () => qemuMachine("q35"),
  "qemu pc": () => qemuMachine("pc"),
};

/** Honest models of both devices. */
export function simulatedMachine(): TestMachine {
  return {
    options: {
      machine: "simulated",
      devices: [new EntropyModel(), new DiskModel({ capacity: CAPACITY, serial: SERIAL })],
    },
    image: undefined,
    [Symbol.dispose]() {},
  };
}

/** Both devices of a QEMU, the disk on a file of its own. */
export function qemuMachine(board: "q35" | "pc"): TestMachine {
  const file = Deno.makeTempFileSync({ prefix: "virtio-disk-" });
  Deno.truncateSync(file, CAPACITY);
  return {
    options: {
      machine: "qemu",
      qemu: {
        machine: board,
        arguments: [
          ...["-device", "virtio-rng-pci,disable-legacy=on"],
          ...["-blockdev", `driver=file,filename=${file},node-name=disk`],
          ...["-device", `virtio-blk-pci,drive=disk,serial=${SERIAL},disable-legacy=on`],
        ],
      },
    },
    image: () => Deno.readFileSync(file),
    [Symbol.dispose]: () => Deno.removeSync(file),
  };
}

/** Bytes that differ from place to place and from `seed` to `seed`. */
export function pattern(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (seed + 1) * 0x9e3779b9 >>> 0;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer).subarray(0, length);
}
