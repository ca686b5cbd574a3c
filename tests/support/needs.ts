/**
 * Tests that need something of the machine they run on.
 *
 * @module
 */

import { findProgram } from "../../core/linux/file.ts";

/** What was told already: once for each file of tests is enough. */
const told = new Set<string>();

/**
 * Declares a test that needs something. Where that is missing the test is ignored, so that it is counted, and a line
 * says why; `.ci/run` prints all such lines again at its end.
 *
 * @param obstacle What is missing; undefined if nothing is.
 */
export function testWith(
  obstacle: string | undefined,
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  if (obstacle === undefined) return Deno.test(name, fn);
  if (!told.has(obstacle)) console.log(`skipped: ${obstacle}`);
  told.add(obstacle);
  Deno.test({ name: `${name} (${obstacle})`, ignore: true, fn });
}

/** Which of these programs are missing, as a reason; undefined if none is. */
export function withoutPrograms(...names: readonly string[]): string | undefined {
  const absent = names.filter((name) => findProgram(name) === undefined);
  return absent.length > 0 ? `there is no ${absent.join(", no ")}` : undefined;
}
