/**
 * What an author of a device class needs, and nothing else: a class is what an application holds of a device, whatever
 * drives it.
 *
 * @module
 */

export { type ClassDefinition, type ClassProtocol, type ClientOf } from "./define.ts";
export { defineClass, type DeviceClass } from "./define.ts";
export type { Lanes, OpenClient, OpenDevice, Told } from "./define.ts";
export {
  flag,
  type Property,
  type PropertyTypes,
  text,
  u16,
  u32,
  u8,
  usually,
  whole,
} from "./properties.ts";
export type { CheckOptions, CheckRequest, CheckResult, Finding, Step } from "./check.ts";
export * as argument from "../bus/arguments.ts";
export { count, megabytesPerSecond, round } from "./figures.ts";
export { listen } from "./listen.ts";
export { type Feed, type FeedOptions, News, type NewsOptions } from "./news.ts";
export { RequestError } from "../bus/request_error.ts";
export { type Answer, ask, demand, type Question } from "./ask.ts";
export { type Setting, Settings } from "./settings.ts";
export { within } from "./within.ts";
export type { ClientLane, Done, LanePort } from "../bus/client_lane.ts";
export { type LaneLayout, RECORD_WORDS, Status, Word } from "../bus/lane.ts";
export { BusFault } from "../bus/mailbox.ts";
