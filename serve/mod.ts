/**
 * Device models for virtual machines: a model of `@virtio/deno/simulation` becomes a device of any machine that speaks
 * vhost-user.
 *
 * @module
 */

export { type ServedDevice, type ServeOptions, serveVhostUser } from "./vhost_user.ts";
export type { Loop } from "../core/irq/interrupt_loop.ts";
