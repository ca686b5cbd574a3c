/**
 * Third parties' folders for tests, copied out of this project to where only the names of its exports lead back into it.
 *
 * @module
 */

import config from "../../deno.json" with { type: "json" };
import { loadPlugin } from "../../core/kernel/load_plugin.ts";
import type { PluginSource } from "../../mod.ts";

const ROOT = new URL("../../", import.meta.url);

/** The exports of this project, by the names by which others import them. */
const EXPORTS = Object.fromEntries(
  Object.entries(config.exports).map(([exported, path]) => [
    `${config.name}${exported.slice(1)}`,
    new URL(path, ROOT).href,
  ]),
);

/** A folder that goes with the test. */
export interface Copy extends Disposable {
  /** Its path. */
  readonly folder: string;
  /** Its driver, for a process and inline. */
  source(): Promise<PluginSource>;
  /** Imports a module of it. */
  load<Module>(name: string): Promise<Module>;
  /** Changes a file of it. Throws if that leaves it as it was. */
  change(file: string, change: (text: string) => string): void;
}

/**
 * Copies a folder of `tests/third_party` to a place of its own.
 *
 * @param changes Texts of its driver, and what is to stand there instead.
 */
export function copied(name: string, changes: Readonly<Record<string, string>> = {}): Copy {
  const from = new URL(`tests/third_party/${name}/`, ROOT);
  const folder = Deno.makeTempDirSync({ prefix: `virtio-${name}-` });
  for (const { name } of Deno.readDirSync(from)) {
    Deno.copyFileSync(new URL(name, from), `${folder}/${name}`);
  }
  Deno.writeTextFileSync(`${folder}/deno.json`, JSON.stringify({ imports: EXPORTS }));
  function change(file: string, change: (text: string) => string): void {
    const before = Deno.readTextFileSync(`${folder}/${file}`);
    const after = change(before);
    if (after === before) {
      throw new Error(`${file} of ${name} has nothing of what is to be changed`);
    }
    Deno.writeTextFileSync(`${folder}/${file}`, after);
  }
  for (const [text, instead] of Object.entries(changes)) {
    change("mod.ts", (before) => before.replace(text, instead));
  }
  const load = (name: string) => import(`file://${folder}/${name}`);
  return {
    folder,
    source: async () => ({ ...loadPlugin(folder), plugin: (await load("mod.ts")).default }),
    load,
    change,
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}
