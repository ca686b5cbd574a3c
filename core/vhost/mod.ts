/**
 * The messages of vhost-user as plain data, for front-ends and back-ends: what they are, how they stand in bytes, and how a
 * stream of bytes is cut into them. Pure: sockets and descriptors are the caller's.
 *
 * @module
 */

export * from "./message.ts";
export * from "./payload.ts";
export * from "./protocol.ts";
export { VhostFault } from "./fault.ts";
export { InFlightNotes, notesBytes } from "./in_flight.ts";
