/**
 * What the command `serve` works with: the device models, by the names that the command line knows them by, and what
 * serves them.
 *
 * @module
 */

import { BalloonModel } from "@virtio/balloon/model";
import { DiskModel, type Store } from "@virtio/blk/model";
import { ConsoleModel } from "@virtio/console/model";
import { EntropyModel } from "@virtio/random/model";
import { ScsiHostModel } from "@virtio/scsi/model";
import { NetModel } from "@virtio/vtnet/model";
import {
  type DeviceModel,
  fitted,
  IN_ORDER,
  type LieId,
  LIES,
  lying,
  RING_PACKED,
} from "./core/simulation/mod.ts";

export { FileStore } from "./core/serve/file_store.ts";
export { serveVhostUser } from "./core/serve/vhost_user.ts";

/** What can be chosen of a model. */
export interface ModelOptions {
  /** Where the bytes of a disk are; 64 MiB of memory if left out. */
  readonly disk?: Store & { readonly size: number };
  /** Request queues of a disk; 1 if left out. */
  readonly queues?: number;
}

/** A model that can be served. */
export interface ServableModel {
  /** What it is, in a few words. */
  readonly summary: string;
  /** Queues that a machine counts as one. */
  readonly unit?: number;
  /** What of {@linkcode ModelOptions} it knows. */
  readonly knows?: readonly (keyof ModelOptions)[];
  /** Makes one. */
  make(options: ModelOptions): DeviceModel;
  /**
   * QEMU's arguments for it, by vhost-user.
   *
   * @param socket The path of the socket.
   */
  qemu(socket: string): readonly string[];
}

const MIB = 2 ** 20;
/** What a machine leaves to the device: the queue of commands is the machine's own. */
const NET_FEATURES = 1n << 0n | 1n << 1n | 1n << 5n | 1n << 11n | 1n << 12n | 1n << 15n;

/** QEMU's arguments for a device of its own kind. */
function own(name: string, device: string): ServableModel["qemu"] {
  return (socket) => [
    ...["-chardev", `socket,id=${name},path=${socket},reconnect=1`],
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
    qemu: own("blk", "vhost-user-blk-pci"),
  },
  scsi: {
    summary: "a SCSI host with a disk in memory",
    make: () => new ScsiHostModel({ units: [{ capacity: 64 * MIB, serial: "VIRTIO-DENO" }] }),
    qemu: own("scsi", "vhost-user-scsi-pci"),
  },
  net: {
    summary: "a network card; at the other end of the wire 10.0.2.2 answers ARP, pings and DHCP",
    unit: 2,
    make: () => new NetModel({ features: NET_FEATURES }).meet(),
    qemu: (socket) => [
      ...["-chardev", `socket,id=net,path=${socket},reconnect=1`],
      ...["-netdev", "vhost-user,id=wire,chardev=net"],
      ...["-device", "virtio-net-pci,netdev=wire"],
    ],
  },
  random: {
    summary: "an entropy source",
    make: () => new EntropyModel(),
    qemu: own("random", "vhost-user-rng-pci"),
  },
  console: {
    summary: "a console that sends back what it gets",
    make: () =>
      new ConsoleModel({
        ports: { 0: { console: true, echo: true }, 1: { name: "org.virtio.echo", echo: true } },
        size: [80, 25],
      }),
    qemu: generic("console", 3, 10, 12),
  },
  balloon: {
    summary: "a memory balloon that takes 16 MiB",
    make: () => new BalloonModel({ pages: 4096 }),
    qemu: generic("balloon", 5, 5, 16),
  },
};

/**
 * A model by its name, with rings of every kind.
 *
 * @param lies Numbers of the rules that it breaks.
 * @throws {RangeError} If there is no such rule.
 */
export function makeModel(
  name: string,
  options: ModelOptions = {},
  lies: readonly string[] = [],
): DeviceModel {
  const model = fitted(MODELS[name]!.make(options), { with: RING_PACKED | IN_ORDER });
  const unknown = lies.find((each) => !LIES.includes(each as LieId));
  if (unknown !== undefined) {
    throw new RangeError(`Cannot lie as ${unknown}: the catalogue has ${LIES.join(", ")}`);
  }
  return lying(model, ...lies as readonly LieId[]);
}
