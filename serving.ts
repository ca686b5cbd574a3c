/**
 * What the command `serve` works with: the device models, by the names that the command line knows them by, and what
 * serves them.
 *
 * @module
 */

import { BalloonModel } from "./plugins/balloon/model.ts";
import { DiskModel, type Store } from "./plugins/blk/model.ts";
import { ConsoleModel } from "./plugins/console/model.ts";
import { NvmeModel } from "./plugins/nvme/model.ts";
import { EntropyModel } from "./plugins/random/model.ts";
import { ScsiModel } from "./plugins/scsi/model.ts";
import { NetModel } from "./plugins/vtnet/model.ts";
import {
  type DeviceModel,
  fitted,
  type FunctionModel,
  IN_ORDER,
  type LieId,
  LIES,
  lying,
  RING_PACKED,
} from "./simulation/mod.ts";

export { FileStore } from "./serve/file_store.ts";
export { serveVfioUser } from "./serve/vfio_user.ts";
export { serveVhostUser } from "./serve/vhost_user.ts";

/** What can be chosen of a model. */
export interface ModelOptions {
  /** Where the bytes of a disk are; 64 MiB of memory if left out. */
  readonly disk?: Store & { readonly size: number };
  /** Request queues of a disk; 1 if left out. */
  readonly queues?: number;
  /** Whether nothing of the device is left to the machine; false if left out. */
  readonly whole?: boolean;
}

/** A model that can be served. */
export interface ServableModel {
  /** What it is, in a few words. */
  readonly summary: string;
  /** What of {@linkcode ModelOptions} it knows. */
  readonly knows?: readonly ("disk" | "queues")[];
  /** How it is served by vhost-user; undefined for one that is no VirtIO device. */
  readonly vhostUser?: {
    /** Queues that a machine counts as one; 1 if absent. */
    readonly unit?: number;
    /**
     * QEMU's arguments for it. QEMU would want a queue for each processor of the guest's if it were not told.
     *
     * @param socket The path of the socket.
     * @param queues Its request queues.
     */
    qemu(socket: string, queues: number): readonly string[];
    /** What else its user has to know of QEMU. */
    readonly note?: string;
  };
  /** Makes one. */
  make(options: ModelOptions): DeviceModel | FunctionModel;
}

const MIB = 2 ** 20;
/** VIRTIO_SCSI_F_T10_PI: Linux has the lengths that it brings before the command, the specification behind it (5.6.6.1). */
const F_T10_PI = 1n << 3n;
/** What a machine leaves to the device: the queue of commands is the machine's own. */
const NET_FEATURES = 1n << 0n | 1n << 1n | 1n << 5n | 1n << 11n | 1n << 12n | 1n << 15n;

/** QEMU's arguments for a device of its own kind; some look for the socket again when it has gone. */
function own(name: string, device: string) {
  return (socket: string): readonly string[] => [
    ...["-chardev", `socket,id=${name},path=${socket}`],
    ...["-device", `${device},chardev=${name}`],
  ];
}

/** QEMU's arguments for a device that it does not know; since QEMU 10.1 or so. */
function generic(name: string, id: number, queues: number, configBytes: number) {
  const device = `vhost-user-test-device-pci,virtio-id=${id},num_vqs=${queues},` +
    `config_size=${configBytes}`;
  return (socket: string): readonly string[] => [
    ...["-chardev", `socket,id=${name},path=${socket}`],
    ...["-device", `${device},chardev=${name}`],
  ];
}

/** NVMe controllers so far: two of a machine that have the same serial number are taken for one. */
let controllers = 0;

/** The models. */
export const MODELS: Readonly<Record<string, ServableModel>> = {
  blk: {
    summary: "a disk, in memory or in a file (--disk)",
    knows: ["disk", "queues"],
    make: ({ disk, queues = 1 }) =>
      new DiskModel({
        capacity: disk?.size ?? 64 * MIB,
        serial: "VIRTIO-DENO",
        requestQueues: queues,
        ...(disk ? { store: disk } : {}),
      }),
    vhostUser: {
      qemu: (socket, queues) => own("blk", `vhost-user-blk-pci,num-queues=${queues}`)(socket),
    },
  },
  scsi: {
    summary: "a SCSI host with a disk in memory",
    make: () =>
      new ScsiModel({
        units: [{ capacity: 64 * MIB, serial: "VIRTIO-DENO" }],
        lacks: F_T10_PI,
      }),
    vhostUser: { qemu: own("scsi", "vhost-user-scsi-pci,num_queues=1") },
  },
  net: {
    summary: "a network card; at the other end of the wire 10.0.2.2 answers ARP, pings and DHCP",
    make: ({ whole = false }) => new NetModel(whole ? {} : { features: NET_FEATURES }).meet(),
    vhostUser: {
      unit: 2,
      qemu: (socket) => [
        ...["-chardev", `socket,id=net,path=${socket}`],
        ...["-netdev", "vhost-user,id=wire,chardev=net"],
        ...["-device", "virtio-net-pci,netdev=wire"],
      ],
      note: "QEMU 7.2 without KVM crashes unless its virtio-net-pci has vectors=0, too",
    },
  },
  random: {
    summary: "an entropy source",
    make: () => new EntropyModel(),
    vhostUser: { qemu: own("random", "vhost-user-rng-pci") },
  },
  console: {
    summary: "a console that sends back what it gets",
    make: () =>
      new ConsoleModel({
        ports: { 0: { console: true, echo: true }, 1: { name: "org.virtio.echo", echo: true } },
        size: [80, 25],
      }),
    vhostUser: { qemu: generic("console", 3, 10, 12) },
  },
  balloon: {
    summary: "a memory balloon that takes 16 MiB",
    make: () => new BalloonModel({ pages: 4096 }),
    vhostUser: { qemu: generic("balloon", 5, 5, 16) },
  },
  nvme: {
    summary: "an NVMe controller with a disk in memory, no VirtIO device (--vfio-user)",
    make: () =>
      new NvmeModel({
        namespaces: { 1: { capacity: 64 * MIB } },
        serial: `VIRTIO-DENO-${++controllers}`,
      }),
  },
};

/**
 * A model by its name; a VirtIO device has rings of every kind.
 *
 * @param lies Numbers of the rules that it breaks.
 * @throws {RangeError} If there is no such rule.
 */
export function makeModel(
  name: string,
  options: ModelOptions = {},
  lies: readonly string[] = [],
): DeviceModel | FunctionModel {
  const model = MODELS[name]!.make(options);
  return makeLying("bars" in model ? model : fitted(model, { with: RING_PACKED | IN_ORDER }), lies);
}

/**
 * Has a model lie.
 *
 * @param lies Numbers of the rules that it breaks.
 * @throws {RangeError} If there is no such rule, or it is none for the model.
 */
export function makeLying<Model extends DeviceModel | FunctionModel>(
  model: Model,
  lies: readonly string[],
): Model {
  const unknown = lies.find((each) => !LIES.includes(each as LieId));
  if (unknown !== undefined) {
    throw new RangeError(`Cannot lie as ${unknown}: the catalogue has ${LIES.join(", ")}`);
  }
  if (lies.length === 0) return model;
  if ("bars" in model) {
    throw new RangeError(`Cannot lie as ${lies[0]}: the catalogue is about VirtIO devices`);
  }
  lying(model as DeviceModel, ...lies as readonly LieId[]);
  return model;
}
