/**
 * The machines that whole-system tests run on: the same two devices, simulated or in a QEMU.
 *
 * @module
 */

import { DiskModel } from "@virtio/blk/model";
import { EntropyModel } from "@virtio/random/model";
import type { MachineOptions } from "../../mod.ts";
import { unpacked } from "../../tools/unpacked.ts";
import { testWith } from "./needs.ts";

const MIB = 2 ** 20;
/** Bytes of the disk. */
export const CAPACITY = 16 * MIB;
/** What the disk says that it is. */
export const SERIAL = "VIRTIO-DENO-0001";

/** A QEMU that tests run on. */
export interface Qemu {
  /** `"7.2"`. */
  readonly version: string;
  /** Path of the program, or its name. */
  readonly program: string;
}

/** Those that are there: the system's, and a newer one that `deno task prepare` fetched. */
const QEMUS: readonly Qemu[] = findQemus();

/** Why no test can run on a QEMU machine; undefined if they can. */
export const withoutQemu: string | undefined = QEMUS.length > 0
  ? undefined
  : "there is no qemu-system-x86_64 (package qemu-system-x86)";
/** Why no test can run on a newer QEMU than the system's. */
export const withoutNewerQemu: string | undefined = QEMUS.length > 1
  ? undefined
  : "there is no newer QEMU than the system's (deno task prepare fetches one)";

function findQemus(): Qemu[] {
  const found = ["qemu-system-x86_64", unpacked("newer-qemu")].flatMap((program) => {
    const version = program && versionOf(program);
    return version ? [{ program, version }] : [];
  });
  // Twice the same would prove nothing more.
  return found.filter(({ version }, i) => found.findIndex((it) => it.version === version) === i);
}

function versionOf(program: string): string | undefined {
  try {
    const { stdout } = new Deno.Command(program, { args: ["--version"] }).outputSync();
    return /version (\d+\.\d+)/.exec(new TextDecoder().decode(stdout))?.[1];
  } catch {
    return undefined;
  }
}

/** Which one the running test has: those of a file run one after the other. */
let current: Qemu | undefined = QEMUS[0];

/** The QEMU of the running test, for QemuOptions and for `--qemu`. */
export function qemuProgram(): string {
  return current?.program ?? "qemu-system-x86_64";
}

/**
 * Declares a test on a QEMU machine: ignored, and its name says why, where there is no QEMU.
 *
 * @param obstacle What else is missing; undefined if nothing is.
 */
export function qemuTest(name: string, fn: () => Promise<void>, obstacle?: string): void {
  testWith(withoutQemu ?? obstacle, name, fn);
}

/** Declares a test on a newer QEMU than the system's: ignored, and its name says why, where there is none. */
export function newerQemuTest(name: string, fn: () => Promise<void>, obstacle?: string): void {
  testWith(
    withoutNewerQemu ?? obstacle,
    `${name} (QEMU ${QEMUS[1]?.version ?? "newer"})`,
    async () => {
      current = QEMUS[1];
      try {
        await fn();
      } finally {
        current = QEMUS[0];
      }
    },
  );
}

/** Declares a test on the system's QEMU, and the same on a newer one. */
export function eachQemuTest(name: string, fn: () => Promise<void>): void {
  qemuTest(name, fn);
  newerQemuTest(name, fn);
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
        program: qemuProgram(),
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
