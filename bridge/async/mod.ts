/**
 * Stands in for `jsr:@std/async` where jsr.io cannot be reached: the same code, from npm.
 *
 * File by file, because the npm package's own `async/mod.js` imports a path that does not exist.
 *
 * @module
 */
// @ts-types="./abortable.d.ts"
export { abortable } from "npm:deno-std@1.4.0/async/abortable.js";
// @ts-types="./deadline.d.ts"
export { deadline } from "npm:deno-std@1.4.0/async/deadline.js";
// @ts-types="./delay.d.ts"
export { delay } from "npm:deno-std@1.4.0/async/delay.js";
// @ts-types="./retry.d.ts"
export { retry, RetryError } from "npm:deno-std@1.4.0/async/retry.js";
