/**
 * A contender's program: see {@linkcode Contender}.
 *
 * @module
 */

import { lines } from "./lines.ts";

/** Serves samples until the standard input ends. */
export async function contend(
  sample: (point: number) => number | Promise<number>,
): Promise<void> {
  console.log("ready");
  for await (const point of lines(Deno.stdin.readable)) {
    try {
      console.log(await sample(Number(point)));
    } catch (error) {
      console.log((error as Error).message.replaceAll("\n", " "));
    }
  }
}
