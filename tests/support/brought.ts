/**
 * What a third party brings: a folder of `tests/third_party`, in another place, where it finds the project only by the names
 * of its exports.
 *
 * @module
 */

import config from "../../deno.json" with { type: "json" };

/** A folder that was copied; it is removed when it is disposed. */
export interface Brought extends Disposable {
  /** Where it is. */
  readonly folder: string;
  /** Imports a module of it into this process. */
  load<Module>(file: string): Promise<Module>;
  /** Changes a file of it, for drivers that do wrong. Throws if that changes nothing. */
  change(file: string, change: (text: string) => string): void;
}

/** The names of the exports and where they lead. */
const EXPORTS = Object.entries(config.exports).map(([name, path]) => [
  `${config.name}${name.slice(1)}`,
  new URL(path, new URL("../../", import.meta.url)).href,
]);

/** Copies a folder. */
export function brought(name: string): Brought {
  const from = new URL(`../third_party/${name}/`, import.meta.url);
  const folder = Deno.makeTempDirSync({ prefix: `virtio-${name}-` });
  const files = [...Deno.readDirSync(from)].map(({ name }) => name);
  for (const file of files) Deno.copyFileSync(new URL(file, from), `${folder}/${file}`);
  return {
    folder,
    load(file) {
      // Deno resolves what this process imports by this process's own configuration: so the names are spelt out there.
      Deno.mkdirSync(`${folder}/here`, { recursive: true });
      for (const each of files.filter((each) => each.endsWith(".ts"))) {
        const text = Deno.readTextFileSync(`${folder}/${each}`);
        const spelt = EXPORTS.reduce(
          (now, [name, url]) => now.replaceAll(`"${name}"`, `"${url}"`),
          text,
        );
        Deno.writeTextFileSync(`${folder}/here/${each}`, spelt);
      }
      return import(`file://${folder}/here/${file}`);
    },
    change(file, change) {
      const text = Deno.readTextFileSync(`${folder}/${file}`);
      const changed = change(text);
      if (changed === text) {
        throw new Error(`Cannot change ${file}: what is to be changed is not in it`);
      }
      Deno.writeTextFileSync(`${folder}/${file}`, changed);
    },
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}
