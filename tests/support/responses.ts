/**
 * What comes of each lie of the catalogue, told to the drivers of a disk and of an entropy source.
 *
 * @module
 */

import type { LieId } from "../../simulation/hostile.ts";

/** What comes of a lie: how far the device came, and the error; or all is served. */
export type Outcome = string;

/** All that was asked for is served. */
export const SERVED: Outcome = "served";
/** How long a request may take, in milliseconds; less where none will be answered. */
export const DEADLINE = 1000, SILENT_DEADLINE = 200;
/** Lies under which nothing is answered. */
export const SILENT: readonly LieId[] = ["D-64", "D-65"];

/** Refused before the driver is asked: the type of the error and what it says. */
const refused = (type: string, says: string) => new RegExp(`^attach: ${type}: .*${says}`);
/** Put out of work: why. */
const lost = (says: string) => new RegExp(`^gone: .*${says}`);

/** A request that failed. */
const failed = /^request: RequestError: Cannot read .*: the device's answer was invalid$/;
/** The lie is told about something that this driver does not look at, or does it no harm. */
const served = /^served$/;

/** What the outcome of a lie must be; or what it must be on a split ring, and on a packed one. */
export type Response = RegExp | readonly [split: RegExp, packed: RegExp];

/** The response to each lie: of both kinds of ring, or of the split and of the packed one. */
export const RESPONSES: Readonly<Record<LieId, Response>> = {
  "D-01": refused("PciFault", "the capability pointer 0x40 leads in a circle"),
  "D-02": refused("PciFault", "the capability pointer 0x3c leads into the header"),
  "D-03": refused("DeviceFault", "has 8 bytes instead of 16 .*\\[D-03\\]"),
  "D-04": served,
  "D-05": refused("DeviceFault", "names BAR 6 .*\\[D-05\\]"),
  "D-06": refused("DeviceFault", "names BAR 2, which is no memory BAR .*\\[D-06\\]"),
  "D-07": refused("DeviceFault", "ends at 16424 in BAR 4 of 16384 bytes .*\\[D-07\\]"),
  "D-08": refused("DeviceFault", "ends at 4294971392 in BAR 4 of 16384 bytes .*\\[D-0[78]\\]"),
  "D-09": refused("DeviceFault", "a structure at the odd offset 2 .*\\[D-09\\]"),
  "D-10": refused("DeviceFault", "has a structure of 0 bytes, 56 are needed .*\\[D-10\\]"),
  "D-11": refused("DeviceFault", "no usable notification structure: .*\\[D-11\\]"),
  "D-12": refused("DeviceFault", "structure overlaps the .* structure in BAR 4 \\[D-12\\]"),
  "D-13": refused("DeviceFault", "notified at byte 262140 of .* structure of 4 \\[D-13\\]"),
  "D-14": refused("DeviceFault", "multiplier 3 is neither 0 nor an even .*\\[D-14\\]"),
  "D-15": served,
  // The identity is read once, when the function is found.
  "D-16": served,
  "D-17": served,
  "D-18": served,
  "D-19": refused("DeviceFault", "does not keep its status: .*\\[D-19\\]"),
  "D-20": refused("DeviceFault", "it clears FEATURES_OK .*; tried: 0x.*\\[D-20\\]"),
  "D-21": refused("DeviceFault", "status reads as all ones: the device is gone \\[D-21\\]"),
  "D-22": refused("DeviceFault", "set DEVICE_NEEDS_RESET while it was started \\[D-22\\]"),
  "D-23": refused("DeviceFault", "does not offer VIRTIO_F_VERSION_1 \\[D-23\\]"),
  // Shows when it is given back; see below.
  "D-24": served,
  "D-25": refused("DeviceFault", "raised its status to \\d+ after its reset \\[D-25\\]"),
  // They are read once, and that is what counts.
  "D-26": served,
  "D-27": served,
  // What the device does not have it does not take either, when a driver agrees to it.
  "D-28": /^served$|^attach: DeviceFault: The device refuses every set of features.*\[D-20\]$/,
  "D-29": served,
  "D-30": served,
  "D-31": refused("DeviceFault", "says that it has 65535 virtqueues \\[D-31\\]"),
  "D-32": refused("PlanError", "has the index 0, and the device has no such queue"),
  // A packed ring may have any size.
  "D-33": [refused("PlanError", "the device's queue 0 has the size 3: .*\\[D-33\\]"), served],
  // Legal: drivers take less.
  "D-34": served,
  "D-35": refused("DeviceFault", "does not take the size \\d+ \\[D-35\\]"),
  "D-36": refused("DeviceFault", "does not let itself be enabled \\[D-36\\]"),
  "D-37": refused("DeviceFault", "configuration changed during each of 10 reads .*\\[D-37\\]"),
  "D-38":
    /^served$|^attach: DriverGone: The driver declines: its capacity of \d+ sectors cannot be true/,
  // A disk without a sector, as the kernel looks once more when the device is in use.
  "D-39": /^served$|^request: RangeError: Cannot \w+ \d+ bytes at 0: the device ends at 0$/,
  "D-40": /^served$|^attach: DriverGone: The driver declines: its configuration of 4 bytes/,
  "D-41": lost("the device used descriptor \\d+ of a queue of \\d+ \\[D-41\\]"),
  "D-42": lost("the device used descriptor \\d+, which heads no request in flight \\[D-42\\]"),
  // Which rule depends on how many are seen at once.
  "D-43": lost("the device .*\\[D-4[28]\\]"),
  // An entropy request has no second descriptor.
  "D-44": /^served$|^gone: .*the device used descriptor 1, which heads no request.*\[D-42\]/,
  // Cut down to the room that there was, and counted.
  "D-45": served,
  "D-46": failed,
  // Half an answer is a legal one of an entropy source.
  "D-47": /^served$|^request: RequestError: Cannot read .*: the device's answer was invalid$/,
  "D-48": [
    lost("the device moved the used index by \\d+ with \\d+ requests in flight \\[D-48\\]"),
    lost("which heads no request in flight \\[D-42\\]"),
  ],
  "D-49": lost("the device moved the used index by \\d+ .*\\[D-48\\]"),
  "D-50": /^request: .*the device's answer was invalid$|^gone: .*\[D-4[12]\]$/,
  "D-51": lost("the device used descriptor 4294967295 of a queue of \\d+ \\[D-41\\]"),
  "D-52": served,
  "D-53": served,
  // A client cannot tell from a good answer what is written over it before it was copied out.
  "D-54": /^served$|^wrong bytes$/,
  "D-55": served,
  "D-56": served,
  // Found by the slow look.
  "D-58": served,
  "D-59": served,
  // A driver in a process may have looked before the device spoils what it wrote.
  "D-60": /^(served$|gone: .*the device left neither flag in slot 0, .*\[D-60\])/,
  "D-61": served,
  "D-62": served,
  "D-63": lost("the device .*\\[D-4[128]\\]"),
  "D-64": lost(`The device did not finish a request within ${SILENT_DEADLINE} ms`),
  "D-65": lost(`The device did not finish a request within ${SILENT_DEADLINE} ms`),
  "D-66": served,
  "D-67": served,
  // Found by the slow look.
  "D-68": served,
  "D-69": served,
  // Polled.
  "D-70": served,
  "D-71": served,
  "D-72": served,
  "D-73": lost("status reads as all ones: the device is gone \\[D-21\\]"),
  // Started anew, and the requests with it.
  "D-76": served,
  "D-77": served,
  "D-79": served,
};
