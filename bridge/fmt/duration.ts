/**
 * Stands in for `jsr:@std/fmt/duration` where jsr.io cannot be reached: the same code, from npm.
 *
 * @module
 */
// @ts-types="./duration.d.ts"
export * from "npm:deno-std@1.4.0/fmt/duration.js";
