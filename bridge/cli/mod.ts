/**
 * Stands in for `jsr:@std/cli` where jsr.io cannot be reached: the same code, from npm.
 *
 * Only `parseArgs`: the package's `unicodeWidth` lacks its data file on npm.
 *
 * @module
 */
// @ts-types="./parse_args.d.ts"
export { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
