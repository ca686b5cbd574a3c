/**
 * Hostile drivers: they say what they achieved in the text by which they decline the device.
 *
 * @module
 */

import { assert, assertRejects } from "@std/assert";
import { DriverGone } from "../../core/kernel/conversation.ts";
import { openKernel, type OpenOptions } from "../../mod.ts";
import { entropyDriver, fixture, type FixtureOptions } from "./plugin.ts";

/** Expressions that a hostile module evaluates, by what they try; a value that comes of one is a success. */
export type Attempts = Readonly<Record<string, string>>;

/** What came of each attempt: `"did it: value"` or `"name: message"` of the error. */
export type Outcomes = Readonly<Record<string, string>>;

/** What an attempt may be given. */
export interface AttemptOptions extends FixtureOptions {
  /** Statements before all others of the module. */
  readonly head?: string;
  /** The machine whose entropy device the plugin is for; a simulated one if left out. */
  readonly machine?: OpenOptions;
}

/** Evaluates the attempts as a plugin of an entropy device, while it is loaded. */
export async function attempt(
  attempts: Attempts,
  { head = "", machine = { machine: "simulated" }, ...more }: AttemptOptions = {},
): Promise<Outcomes> {
  const source = entropyDriver({
    load: `${head}
const outcomes = {};
/** Hides what is imported from the module graph. */
const hide = (specifier) => [...specifier].join("");
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function attempt(name, work) {
  try {
    outcomes[name] = "did it: " + String(await work()).slice(0, 400);
  } catch (error) {
    outcomes[name] = error.name + ": " + error.message;
  }
}
${
      Object.entries(attempts).map(([name, text]) =>
        `await attempt(${JSON.stringify(name)}, async () => ${text});`
      ).join("\n")
    }`,
    plan: "return { decline: JSON.stringify(outcomes) };",
  });
  using plugin = fixture(source, more);
  await using kernel = await openKernel({ ...machine, plugins: [plugin.folder] });
  const error = await assertRejects(() => kernel.attachFirst("entropy"), DriverGone);
  const said = "The driver declines: ";
  assert(error.message.startsWith(said), error.message);
  return JSON.parse(error.message.slice(said.length));
}
