import type { AnyDevice } from "../classes.ts";
// No tests, but what the tests here share: a world, a machine and devices that are made up.
import type { PciFunction } from "../core/pci/function.ts";
import type { Platform } from "../core/platform/platform.ts";
import type { PciIdentity } from "../core/pci/identity.ts";
import { BUILT_IN_NAMES } from "../machine/names_built_in.ts";
import type { Registers } from "../core/pci/registers.ts";
import { virtioIdentity } from "../core/pci/virtio_identity.ts";
import { choose } from "../core/plugin/choose.ts";
import type { Done } from "../core/bus/client_lane.ts";
import { Status } from "../core/bus/lane.ts";
import type { CheckOptions } from "../core/class/mod.ts";
import type { BlockDevice } from "../classes/block/protocol.ts";
import type { BlockClient } from "../classes/block/client.ts";
import type { EntropyClient } from "../classes/entropy/client.ts";
import type { NetClient } from "../classes/network/client.ts";
import type { PluginSource } from "../core/kernel/plugin_source.ts";
import { parseManifest } from "../core/plugin/check_manifest.ts";
import type { Binding, BindRequest, Diagnosis } from "../machine/mod.ts";
import type { OpenOptions } from "../mod.ts";
import { checkBlock, type Disk, readBehind } from "../classes/block/check.ts";
import { checkEntropy } from "../classes/entropy/check.ts";
import { checkNetwork } from "../classes/network/check.ts";
import type { Input } from "./io.ts";
import { run } from "./main.ts";
import type { Card } from "./net/card.ts";
import type { Exports } from "./modules.ts";
import type { Machine } from "./options.ts";
import type { Kernel, System } from "./system.ts";

/** What the commands use of an entropy client. */
type Entropy = Pick<EntropyClient, "read">;

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
  readonly columns?: number;
  readonly program?: string;
  readonly side?: { readonly columns: number; draw(text: string): void };
  readonly environment?: Record<string, string>;
  readonly signal?: AbortSignal;
  readonly input?: Input;
  readonly denoVersion?: string;
  readonly rebind?: (request: BindRequest) => Binding[];
  readonly diagnoses?: readonly Diagnosis[];
  readonly entropy?: Entropy;
  readonly disk?: Disk;
  readonly card?: Card;
  /** Of all functions of this machine. */
  readonly refusal?: string;
  /** What else the platform knows of each function, in their order. */
  readonly facts?: readonly Partial<PciFunction>[];
  readonly attach?: () => Promise<AnyDevice>;
  readonly openKernel?: () => Promise<Kernel>;
  readonly loadServing?: () => Promise<never>;
  readonly loadTesting?: () => Promise<never>;
  readonly loadWatch?: () => Promise<never>;
  readonly drivers?: readonly PluginSource[];
  /** Imports modules, instead of `modules`. */
  readonly importModule?: (path: string) => Promise<Exports>;
  /** What modules export that can be imported, by their paths. */
  readonly modules?: Readonly<Record<string, Exports>>;
  /** Of all devices: how often they were started anew. */
  readonly restarts?: number;
  /** Of all devices: why they went out of work. */
  readonly gone?: string;
  /** Of all devices: what their description fails with. */
  readonly describe?: Error;
}

const NO_INPUT: Input = { terminal: false, read: () => Promise.resolve(null), raw() {} };

/** Runs a command line in a made-up world. */
export async function runFake(line: string, world: World = {}): Promise<Ran> {
  const calls: string[] = [], out: string[] = [], err: string[] = [];
  const exit = await run(line.split(" ").filter((word) => word !== ""), {
    out: (text) => out.push(text),
    write: (bytes) => out.push(new TextDecoder("latin1").decode(bytes)) > 0,
    input: world.input ?? NO_INPUT,
    err: (text) => err.push(text),
    terminal: world.terminal ?? false,
    columns: world.columns ?? (world.terminal ? 0 : undefined),
    side: world.side,
    program: world.program ?? "deno run --allow-ffi main.ts",
    environment: world.environment ?? {},
    denoVersion: world.denoVersion ?? "2.9.6",
    signal: world.signal ?? new AbortController().signal,
    system: fakeSystem(world, calls),
    names: () => BUILT_IN_NAMES,
  });
  return { exit, out: out.join("\n"), err: err.join("\n"), calls };
}

export const RANDOM = driver("random", "entropy", "1044", "1005");
export const BLK = driver("blk", "block", "1042", "1001");
export const VTNET = driver("vtnet", "network", "1041", "1000");

function driver(name: string, kind: string, ...devices: string[]): PluginSource {
  const match = devices.map((device) => ({ vendor: "1af4", device }));
  const text = JSON.stringify({ name, entry: "./mod.ts", class: kind, match });
  const manifest = parseManifest(text, `plugins/${name}/plugin.json`);
  return { manifest, entry: `file:///plugins/${name}/mod.ts` };
}

function fakeSystem(world: World, calls: string[]): System {
  const drivers = world.drivers ?? [RANDOM, BLK];
  return {
    // deno-lint-ignore require-await -- so that errors are rejections
    async rebind(request) {
      calls.push(`rebind ${JSON.stringify(request)}`);
      return world.rebind?.(request) ?? [];
    },
    diagnose: () => Promise.resolve(world.diagnoses ?? []),
    walls: () => Promise.resolve(world.diagnoses ?? []),
    loadServing: () => world.loadServing?.() ?? import("../serving.ts"),
    loadClasses: () => import("../mod.ts").then(({ CLASSES }) => CLASSES),
    loadTesting: () => world.loadTesting?.() ?? import("../testing/mod.ts"),
    writeFolder(folder, files) {
      calls.push(`write ${folder}: ${Object.keys(files).join(" ")}`);
      return Promise.resolve();
    },
    loadConform: () => import("../conform/mod.ts"),
    loadWatch: () => world.loadWatch?.() ?? import("../watch/mod.ts"),
    loadDrivers(folders) {
      calls.push(["load", ...folders].join(" "));
      return Promise.resolve(drivers);
    },
    async importModule(path) {
      calls.push(`import ${path}`);
      if (world.importModule) return await world.importModule(path);
      const exports = world.modules?.[path];
      if (exports) return exports;
      throw new TypeError(
        path.startsWith("/secret/")
          ? `Requires read access to "${path}", run again with the --allow-read flag`
          : `Module not found "file://${path}".\n    at main.ts`,
      );
    },
    openKernel(options) {
      const { machine = "local", plugins = [], classes = {}, devices, qemu, tunables = {} } =
        options;
      const names = Object.keys(classes);
      const more = [
        qemu,
        Object.keys(tunables).length > 0 ? tunables : undefined,
        names.length > 0 ? { classes: names } : undefined,
        devices && { devices: devices.length },
      ]
        .filter((given) => given !== undefined).map((given) => JSON.stringify(given));
      calls.push(["open", machine, ...plugins, ...more].join(" "));
      return world.openKernel?.() ??
        Promise.resolve(fakeKernel(fakePlatform(machine, world), drivers, options, world, calls));
    },
  };
}

function fakeKernel(
  platform: Platform,
  drivers: readonly PluginSource[],
  options: OpenOptions,
  world: World,
  calls: string[],
): Kernel {
  options.log?.("the kernel is up");
  const nodes = platform.functions.map((fn, index) => {
    const identity = IDENTITIES[index]!;
    const manifests = drivers.map(({ manifest }) => manifest);
    return { function: fn, identity, ...choose(manifests, identity) };
  });
  return {
    machine: platform,
    nodes,
    loop: { add() {}, remove() {} },
    attach(address) {
      calls.push(`attach ${address}`);
      const node = nodes.find((candidate) => candidate.function.address === address);
      return world.attach?.() ??
        Promise.resolve(fakeDevice(address, node?.manifest?.name ?? "?", options, world, calls));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(void calls.push("close kernel")),
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

function fakePlatform(machine: Machine, world: World): Platform {
  const refusal = machine === "local"
    ? world.refusal ?? "the kernel driver virtio-pci drives it"
    : "";
  const functions = IDENTITIES.map((_, index): PciFunction => ({
    address: `0000:00:0${index}.0`,
    config: EMPTY,
    ...(machine === "local" && index > 0 ? { kernelDriver: "virtio-pci" } : {}),
    ...(refusal === "" ? {} : { refusal }),
    ...world.facts?.[index],
    open() {
      throw new Error("the commands never open a function themselves");
    },
  }));
  return {
    kind: machine,
    description: `a made-up ${machine}`,
    functions,
    [Symbol.asyncDispose]: () => Promise.resolve(),
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

const CHECKS = {
  block: (client: BlockClient, options: CheckOptions) =>
    checkBlock(client, options, () => readBehind(client)),
  entropy: checkEntropy,
  network: checkNetwork,
};

function fakeDevice(
  address: string,
  driver: string,
  { isolation = "process", interrupts = "msix" }: OpenOptions,
  world: World,
  calls: string[],
): AnyDevice {
  const pid = isolation === "process" ? 1234 : undefined;
  const [deviceClass, client] = driver === "vtnet"
    ? ["network", world.card] as const
    : driver === "blk"
    ? ["block", Object.assign(world.disk ?? memoryDisk(), { slots: NO_REACH })] as const
    : ["entropy", world.entropy ?? goodEntropy] as const;
  const facts = { address, driver, class: deviceClass, isolation } as const;
  return {
    ...facts,
    pid,
    restarts: world.restarts ?? 0,
    unsafeDma: undefined,
    // The rest of the real clients is of no use to the commands.
    client: client as unknown as BlockClient & EntropyClient & NetClient,
    check: (options) => CHECKS[deviceClass](client as never, options),
    gone: Promise.resolve(world.gone),
    describe: () =>
      world.describe ? Promise.reject(world.describe) : Promise.resolve({
        ...facts,
        ...(pid === undefined ? {} : { pid }),
        status: ["ACKNOWLEDGE", "DRIVER", "FEATURES_OK", "DRIVER_OK"],
        restarts: 0,
        features: {
          offered: "0x130000021",
          accepted: "0x100000001",
          list: [
            { bit: 0, name: "VIRTIO_TEST_F_ONE", accepted: true },
            { bit: 5, name: "bit 5", accepted: false, because: "unknown" },
          ],
        },
        interrupts,
        statistics: {},
        transport: "modern",
        queues: [{
          name: "requests",
          index: 0,
          kind: "split",
          size: 8,
          ...(interrupts === "msix" ? { vector: 1 } : {}),
        }],
      }),
    [Symbol.asyncDispose]: () => Promise.resolve(void calls.push(`detach ${address}`)),
    // Class and client were chosen together above.
  } as AnyDevice;
}

/** Slots of a driver that refuses all requests. */
const NO_REACH = {
  bytes: 65536,
  take: () => 0,
  release() {},
  publish() {},
  submit(slot: number, _operation: number, _sector: number, _length: number, done: Done): void {
    done(slot, Status.refused, 0);
  },
};

export const goodEntropy: Entropy = {
  read: (bytes) => Promise.resolve(crypto.getRandomValues(new Uint8Array(bytes))),
};

/** A disk in memory. */
export function memoryDisk(
  capacity = 8 << 20,
  blockSize = 512,
): BlockDevice & { readonly bytes: Uint8Array<ArrayBuffer>; writes: number; flushes: number } {
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
    medium: 1,
    readOnly: false,
    writeCache: true,
    canDiscard: true,
    canWriteZeroes: true,
    refresh: () => Promise.resolve(),
    id: () => Promise.resolve("disk-1"),
    // deno-lint-ignore require-await -- so that errors are rejections
    async read(offset, length) {
      check(offset, length);
      return bytes.slice(offset, offset + length);
    },
    // deno-lint-ignore require-await -- so that errors are rejections
    async readInto(offset, into) {
      check(offset, into.length);
      into.set(bytes.subarray(offset, offset + into.length));
    },
    // deno-lint-ignore require-await -- so that errors are rejections
    async discard(offset, length) {
      check(offset, length);
      bytes.fill(0xdd, offset, offset + length);
    },
    // deno-lint-ignore require-await -- so that errors are rejections
    async writeZeroes(offset, length) {
      check(offset, length);
      bytes.fill(0, offset, offset + length);
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
