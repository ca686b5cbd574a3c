/**
 * A server for the Network Block Device protocol: it makes a disk that a driver of ours drives one for every program
 * that speaks NBD, for example `qemu-img`, `nbdcopy` or `fio`.
 *
 * @example
 * ```ts
 * import { openKernel } from "@virtio/deno";
 * import { NbdServer } from "@virtio/deno/nbd";
 *
 * await using kernel = await openKernel({ machine: "simulated" });
 * const { client } = await kernel.attachFirst("block");
 * using server = new NbdServer(client, { socket: "/tmp/disk.sock", loop: kernel.loop });
 * console.log(server.clients); // 0
 * ```
 *
 * @module
 */

export { NbdServer, type ServeOptions } from "./server.ts";
export { nbdUri } from "./uri.ts";
export type { BlockDevice, DiskSlots } from "../classes/block/protocol.ts";
export type { Loop } from "../core/irq/interrupt_loop.ts";
