/**
 * Stands in for `jsr:@std/assert` where jsr.io cannot be reached: the same code, from npm.
 *
 * @module
 */
// The npm package brings no types, so each bridge has them in a file of its own.
// @ts-types="./assert.d.ts"
export * from "npm:deno-std@1.4.0/assert/mod.js";
