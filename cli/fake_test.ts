// No tests, but what the tests here share: a world, a machine and devices that are made up.
import type { PciFunction, Platform } from "../core/platform/platform.ts";
import type { PciIdentity } from "../core/pci/identity.ts";
import { BUILT_IN_NAMES } from "../core/pci/names_built_in.ts";
import type { Registers } from "../core/pci/registers.ts";
import { virtioIdentity } from "../core/pci/virtio_identity.ts";
import { choose } from "../core/plugin/choose.ts";
import { type Manifest, parseManifest } from "../core/plugin/manifest.ts";
import { run } from "./main.ts";
import type { BlockClient, Device, EntropyClient, Isolation, Machine, System } from "./system.ts";

/** What a run left behind. */
export interface Ran {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
  /** What was called, in order. */
  readonly calls: readonly string[];
}

/** How the made-up world differs from the usual one. */
export interface World {
  readonly terminal?: boolean;
  readonly environment?: Record<string, string>;
  readonly signal?: AbortSignal;
  readonly entropy?: EntropyClient;
  readonly disk?: BlockClient;
  /** Of all functions of the host. */
  readonly refusal?: string;
  readonly attach?: () => Promise<Device>;
  readonly openMachine?: () => Promise<Platform>;
  readonly loadManifests?: () => Manifest[];
}

/** Runs a command line in a made-up world. */
export async function runFake(line: string, world: World = {}): Promise<Ran> {
  const calls: string[] = [], out: string[] = [], err: string[] = [];
  const exit = await run(line.split(" ").filter((word) => word !== ""), {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    terminal: world.terminal ?? false,
    environment: world.environment ?? {},
    signal: world.signal ?? new AbortController().signal,
    system: fakeSystem(world, calls),
    names: () => BUILT_IN_NAMES,
  });
  return { exit, out: out.join("\n"), err: err.join("\n"), calls };
}

export const RANDOM = manifest("random", "entropy", "1044", "1005");
export const BLK = manifest("blk", "block", "1042", "1001");

function manifest(name: string, kind: string, ...devices: string[]): Manifest {
  const match = devices.map((device) => ({ vendor: "1af4", device }));
  const text = JSON.stringify({ name, entry: "./mod.ts", class: kind, match });
  return parseManifest(text, `plugins/${name}/plugin.json`);
}

function fakeSystem(world: World, calls: string[]): System {
  return {
    async openMachine({ machine, qemuArguments }) {
      calls.push(["open", machine, ...qemuArguments].join(" "));
      return await (world.openMachine?.() ?? fakePlatform(machine, world, calls));
    },
    loadManifests(folders) {
      calls.push(["load", ...folders].join(" "));
      return world.loadManifests?.() ?? [RANDOM, BLK];
    },
    openKernel({ platform, manifests, isolation, log }) {
      log("the kernel is up");
      const nodes = platform.functions.map((fn, index) => {
        const identity = IDENTITIES[index]!;
        return { function: fn, identity, ...choose(manifests, identity) };
      });
      return Promise.resolve({
        nodes,
        attach(address) {
          calls.push(`attach ${address}`);
          const node = nodes.find((candidate) => candidate.function.address === address);
          return world.attach?.() ?? Promise.resolve(fakeDevice(address, node, isolation, world));
        },
        [Symbol.asyncDispose]: () => Promise.resolve(void calls.push("close kernel")),
      });
    },
  };
}

/** A bridge, an entropy source, a disk and a network card. */
const IDENTITIES = [
  identity(0x8086, 0x29c0, 0x060000),
  identity(0x1af4, 0x1044, 0xffff00),
  identity(0x1af4, 0x1042, 0x010000),
  identity(0x1af4, 0x1041, 0x020000),
];

function identity(vendor: number, device: number, kind: number): PciIdentity {
  const ids = {
    vendor,
    device,
    subsystemVendor: vendor,
    subsystem: 0x1100,
    class: kind,
    revision: vendor === 0x1af4 ? 1 : 0,
  };
  const virtio = virtioIdentity(ids);
  return virtio ? { ...ids, virtio } : ids;
}

function fakePlatform(machine: Machine, world: World, calls: string[]): Platform {
  const refusal = machine === "host"
    ? world.refusal ?? "the kernel driver virtio-pci drives it"
    : "";
  const functions = IDENTITIES.map((_, index): PciFunction => ({
    address: `0000:00:0${index}.0`,
    config: EMPTY,
    ...(machine === "host" && index > 0 ? { kernelDriver: "virtio-pci" } : {}),
    ...(refusal === "" ? {} : { refusal }),
    open() {
      throw new Error("the commands never open a function themselves");
    },
  }));
  return {
    kind: machine,
    description: `a made-up ${machine}`,
    functions,
    [Symbol.asyncDispose]: () => Promise.resolve(void calls.push("close machine")),
  };
}

const EMPTY: Registers = {
  size: 64,
  read8: () => 0,
  read16: () => 0,
  read32: () => 0,
  write8() {},
  write16() {},
  write32() {},
};

function fakeDevice(
  address: string,
  node: { readonly manifest?: Manifest } | undefined,
  isolation: Isolation,
  world: World,
): Device {
  const shared = {
    address,
    driver: node?.manifest?.name ?? "?",
    isolation,
    ...(isolation === "process" ? { pid: 1234 } : {}),
    features: ["VIRTIO_F_VERSION_1"],
    queues: [{ name: "requests", index: 0, size: 8 }],
    describe: () => ({ status: 15 }),
  };
  return node?.manifest?.class === "block"
    ? { ...shared, class: "block", client: world.disk ?? memoryDisk() }
    : { ...shared, class: "entropy", client: world.entropy ?? goodEntropy };
}

export const goodEntropy: EntropyClient = {
  read: (bytes) => Promise.resolve(crypto.getRandomValues(new Uint8Array(bytes))),
};

/** A disk in memory. */
export function memoryDisk(
  capacity = 8 << 20,
  blockSize = 512,
): BlockClient & { readonly bytes: Uint8Array<ArrayBuffer>; writes: number; flushes: number } {
  const bytes = new Uint8Array(capacity);
  const check = (offset: number, length: number) => {
    if (
      offset % blockSize !== 0 || length % blockSize !== 0 || length === 0 ||
      offset + length > capacity
    ) {
      throw new RangeError(`Cannot reach ${length} bytes at ${offset}: the disk has ${capacity}`);
    }
  };
  return {
    bytes,
    writes: 0,
    flushes: 0,
    capacity,
    blockSize,
    readOnly: false,
    id: () => Promise.resolve("disk-1"),
    // deno-lint-ignore require-await -- so that errors are rejections
    async read(offset, length) {
      check(offset, length);
      return bytes.slice(offset, offset + length);
    },
    // deno-lint-ignore require-await -- so that errors are rejections
    async write(offset, data) {
      check(offset, data.length);
      this.writes++;
      bytes.set(data, offset);
    },
    flush() {
      this.flushes++;
      return Promise.resolve();
    },
  };
}
