/**
 * Device models for virtual machines: a model of `@virtio/deno/simulation` becomes a device of any machine that speaks
 * vhost-user, or a whole PCI function of one that speaks vfio-user.
 *
 * @module
 */

export { type ServedDevice, type ServeOptions, serveVhostUser } from "./vhost_user.ts";
export { serveVfioUser, type VfioUserOptions, type VfioUserServer } from "./vfio_user.ts";
export type { ServedFigures, ServedQueue } from "./witness.ts";
export type { TraceSink } from "../core/trace/trace.ts";
export type { Loop } from "../core/irq/interrupt_loop.ts";
