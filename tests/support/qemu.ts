/**
 * Devices of a QEMU for tests: disks on files that are read without this project, and QEMU's own view of what the
 * kernel did with each device.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { BlockClient } from "../../classes/block/client.ts";
import type { EntropyClient } from "../../classes/entropy/client.ts";
import type { AttachedDevice, DeviceDescription } from "../../core/kernel/device.ts";
import type { QemuPlatform, Qmp } from "../../core/platform/qemu/mod.ts";
import { pciCfgWindow } from "../../core/virtio/pci_cfg_window.ts";
import { DRIVERS } from "../../drivers.ts";
import { type AnyKernel, type Kernel, openKernel, type OpenOptions } from "../../mod.ts";
import { pattern, qemuProgram } from "./machine.ts";

const KIB = 1024;

/** A kernel on a QEMU with these devices. Its own drivers may run inline. */
export function openQemuKernel(
  qemu: readonly string[],
  options: OpenOptions = {},
  machine: "q35" | "pc" = "q35",
): Promise<Kernel> {
  return openKernel({
    machine: "qemu",
    qemu: { machine, program: qemuProgram(), arguments: qemu },
    drivers: DRIVERS,
    ...options,
  });
}

/** QEMU's control interface. */
export function qmpOf(kernel: AnyKernel): Qmp {
  return (kernel.machine as QemuPlatform).qmp;
}

/** A disk on a raw file of its own, which goes with the test. */
export class FileDisk implements Disposable {
  /** Its name in QEMU. */
  readonly id: string;
  /** Path of the file. */
  readonly file: string;
  /** What should stand on it. */
  readonly wanted: Uint8Array<ArrayBuffer>;
  readonly #options: string;

  /** @param options For `virtio-blk-pci`; begins with a comma, unless empty. */
  constructor(id: string, capacity: number, options: string) {
    this.id = id;
    this.file = Deno.makeTempFileSync({ prefix: "virtio-disk-" });
    Deno.truncateSync(this.file, capacity);
    this.wanted = new Uint8Array(capacity);
    this.#options = options;
  }

  /** For QEMU. */
  get arguments(): readonly string[] {
    return [
      ...["-blockdev", `driver=file,filename=${this.file},node-name=${this.id}`],
      ...["-device", `virtio-blk-pci,id=${this.id},drive=${this.id}${this.#options}`],
    ];
  }

  /** Says where the file is not what it should be: the index of the first such byte, or -1. */
  differsAt(): number {
    return differsAt(Deno.readFileSync(this.file), this.wanted);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.file);
  }
}

/** Index of the first byte that differs, -1 if none does: `assertEquals` on megabytes takes seconds. */
export function differsAt(found: Uint8Array, wanted: Uint8Array): number {
  if (found.length !== wanted.length) return Math.min(found.length, wanted.length);
  for (let i = 0; i < found.length; i++) if (found[i] !== wanted[i]) return i;
  return -1;
}

/** Writes to a disk in several sizes, many at once, and reads it back; `wanted` follows. */
export async function useDisk(
  client: Pick<BlockClient, "read" | "write" | "flush">,
  wanted: Uint8Array,
  seed = 0,
  many = 200,
): Promise<void> {
  const write = (offset: number, length: number, seed: number) => {
    const bytes = pattern(length, seed);
    wanted.set(bytes, offset);
    return client.write(offset, bytes);
  };
  const check = async (offset: number, length: number) => {
    const differs = differsAt(
      await client.read(offset, length),
      wanted.subarray(offset, offset + length),
    );
    assertEquals(differs, -1, `${length} bytes at ${offset}`);
  };
  const end = wanted.length;
  const extents: readonly (readonly [offset: number, length: number])[] = [
    [0, 512],
    [1536, 2048],
    [64 * KIB - 512, 1024],
    [128 * KIB, 64 * KIB + 512],
    [end - 512, 512],
    [end - 200 * KIB, 180 * KIB],
  ];
  for (const [i, [offset, length]] of extents.entries()) {
    await write(offset, length, seed + i);
    await check(offset, length);
  }
  const all = Array.from({ length: many }, (_, i) => [256 * KIB + (i * 7 % many) * 2048, 1536, i]);
  await Promise.all(all.map(([offset, length, i]) => write(offset!, length!, seed + 100 + i!)));
  await client.flush();
  await Promise.all(all.map(([offset, length]) => check(offset!, length!)));
}

/** Reads random bytes in several sizes, many at once: as many as were asked for, and not the same ones. */
export async function useEntropy(client: EntropyClient): Promise<void> {
  for (const length of [1, 31, 4096, 20_000]) {
    assertEquals((await client.read(length)).length, length);
  }
  const all = await Promise.all(Array.from({ length: 40 }, () => client.read(64)));
  assertEquals(new Set(all.map((bytes) => bytes.toHex())).size, all.length);
  assert(new Set(await client.read(4096)).size === 256, "4 KiB of random bytes have all values");
}

/** What QEMU calls the features that our drivers use. */
const FEATURES: Readonly<Record<string, number>> = {
  VIRTIO_BALLOON_F_STATS_VQ: 1,
  VIRTIO_BALLOON_F_DEFLATE_ON_OOM: 2,
  VIRTIO_BALLOON_F_FREE_PAGE_HINT: 3,
  VIRTIO_BALLOON_F_PAGE_POISON: 4,
  VIRTIO_BALLOON_F_REPORTING: 5,
  VIRTIO_BLK_F_SIZE_MAX: 1,
  VIRTIO_BLK_F_SEG_MAX: 2,
  VIRTIO_BLK_F_GEOMETRY: 4,
  VIRTIO_BLK_F_RO: 5,
  VIRTIO_BLK_F_BLK_SIZE: 6,
  VIRTIO_BLK_F_FLUSH: 9,
  VIRTIO_BLK_F_TOPOLOGY: 10,
  VIRTIO_BLK_F_CONFIG_WCE: 11,
  VIRTIO_BLK_F_MQ: 12,
  VIRTIO_BLK_F_DISCARD: 13,
  VIRTIO_BLK_F_WRITE_ZEROES: 14,
  VIRTIO_SCSI_F_INOUT: 0,
  VIRTIO_SCSI_F_HOTPLUG: 1,
  VIRTIO_SCSI_F_CHANGE: 2,
  VIRTIO_SCSI_F_T10_PI: 3,
  VIRTIO_F_ANY_LAYOUT: 27,
  VIRTIO_RING_F_INDIRECT_DESC: 28,
  VIRTIO_RING_F_EVENT_IDX: 29,
  VIRTIO_F_VERSION_1: 32,
  VIRTIO_F_IOMMU_PLATFORM: 33,
  VIRTIO_F_RING_PACKED: 34,
};

interface QemuStatus {
  readonly status: { readonly statuses: readonly string[] };
  readonly "guest-features": {
    readonly transports: readonly string[];
    readonly "dev-features"?: readonly string[];
    readonly "unknown-dev-features"?: number;
  };
}

/** QEMU's own view of a queue. */
export interface QemuQueue {
  readonly "vring-num": number;
  readonly "used-idx": number;
  readonly "last-avail-idx": number;
  readonly inuse: number;
}

const short = (text: string) => text.split(":")[0]!;

function pathOf(qmp: Qmp, device: string): string {
  const all = qmp.execute("x-query-virtio") as readonly { path: string; name: string }[];
  const found = all.find(({ path, name }) =>
    path === `/machine/peripheral/${device}/virtio-backend` || name === device
  );
  assert(found, `QEMU knows no ${device}`);
  return found.path;
}

/**
 * Holds status and accepted features, as the kernel tells of them, against what QEMU has.
 *
 * @param device The id that it was given, or QEMU's name of its kind if there is but one.
 */
export function assertQemuHas(kernel: AnyKernel, device: string, view: DeviceDescription): void {
  const qmp = qmpOf(kernel);
  // x-query-virtio-status ends QEMU 11.1 by an assertion, whatever the device: see docs/findings.md.
  if (qmp.version[0] >= 11) return assertRegistersHave(kernel, view);
  const found = qmp.execute("x-query-virtio-status", { path: pathOf(qmp, device) }) as QemuStatus;
  const guest = found["guest-features"];
  const accepted = [...guest.transports, ...guest["dev-features"] ?? []].map(short)
    .reduce((set, name) => set | 1n << BigInt(FEATURES[name] ?? 127), 0n);
  assertEquals(
    `0x${(accepted | BigInt(guest["unknown-dev-features"] ?? 0)).toString(16)}`,
    view.features.accepted,
    device,
  );
  assertEquals(
    found.status.statuses.map((text) => short(text).replace("VIRTIO_CONFIG_S_", "")).toSorted(),
    view.status.toSorted(),
    device,
  );
}

/** Bits of the status register (virtio 1.4, 2.1). */
const STATUS: Readonly<Record<string, number>> = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
};

/** Likewise, from QEMU's registers, on another way than the kernel's. */
function assertRegistersHave(kernel: AnyKernel, view: DeviceDescription): void {
  const { config } = kernel.nodes.find(({ function: { address } }) => address === view.address)!
    .function;
  const status = view.status.reduce((bits, name) => bits | STATUS[name]!, 0);
  const accepted = BigInt(view.features.accepted);
  if (view.transport === "modern") {
    const common = pciCfgWindow(config, { bar: 4, offset: 0, length: 56 })!;
    assertEquals(common.read8(0x14), status, view.address);
    const words = [0, 1].map((word) => {
      common.write32(0x08, word);
      return BigInt(common.read32(0x0c)) << BigInt(32 * word);
    });
    assertEquals(words[0]! | words[1]!, accepted, view.address);
    return;
  }
  const ports = config.read32(0x10) & ~3;
  const port = (offset: number, width: "b" | "w") => {
    const line = `i /${width} 0x${(ports + offset).toString(16)}`;
    const text = qmpOf(kernel).execute("human-monitor-command", { "command-line": line }) as string;
    return Number(text.split("=")[1]);
  };
  assertEquals(port(0x12, "b"), status, view.address);
  assertEquals(BigInt(port(0x04, "w")), accepted, view.address);
}

/** A queue of a device as QEMU has it. */
export function qemuQueue(qmp: Qmp, device: string, queue: number): QemuQueue {
  const args = { path: pathOf(qmp, device), queue };
  return qmp.execute("x-query-virtio-queue-status", args) as QemuQueue;
}

/** Descriptors that a queue's requests took, if they can be told from their number. */
export interface Expectation {
  /** The id that the device was given. */
  readonly id: string;
  /** For packed rings: descriptors of each request, if they were all alike. */
  readonly descriptors?: number;
}

/** The device as it is once nothing happens any more: an entropy source is asked ahead of its readers. */
async function idle(device: AttachedDevice): Promise<DeviceDescription> {
  for (let before = -1, tries = 0;; tries++) {
    const view = await device.describe();
    const requests = view.queues.reduce((sum, { published = 0 }) => sum + published, 0);
    const quiet = requests === before && view.queues.every(({ inFlight }) => !inFlight);
    if (quiet || tries === 100) return view;
    before = requests;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Holds what the kernel says of an idle device against what QEMU says. */
export async function agrees(
  kernel: AnyKernel,
  device: AttachedDevice,
  { id, descriptors }: Expectation,
): Promise<DeviceDescription> {
  const qmp = qmpOf(kernel);
  const view = await idle(device);
  const status = ["ACKNOWLEDGE", "DRIVER", "DRIVER_OK"];
  if (view.transport === "modern") status.push("FEATURES_OK");
  assertEquals(view.status.toSorted(), status.toSorted(), id);
  assertQemuHas(kernel, id, view);
  for (const { index, kind, size, inFlight, published, completed, broken } of view.queues) {
    const queue = qemuQueue(qmp, id, index);
    assertEquals([inFlight, broken, published], [0, undefined, completed], id);
    assertEquals([queue["vring-num"], queue.inuse], [size, 0], id);
    assertEquals(queue["used-idx"], queue["last-avail-idx"], id);
    if (kind === "split") assertEquals(queue["used-idx"], completed! & 0xffff, id);
    else if (descriptors) {
      assertEquals(queue["used-idx"], completed! * descriptors % size, id);
    }
  }
  return view;
}
