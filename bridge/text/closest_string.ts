/**
 * Stands in for `jsr:@std/text/closest-string` where jsr.io cannot be reached: the same code, from npm.
 *
 * @module
 */
// @ts-types="./closest_string.d.ts"
export * from "npm:deno-std@1.4.0/text/closest_string.js";
