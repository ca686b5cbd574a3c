/**
 * Third-party plugins as tests need them: folders outside this project, written on the spot.
 *
 * @module
 */

import type { ClassName } from "../../classes.ts";

/** What a plugin is besides its text. */
export interface FixtureOptions {
  /** What its devices are; `"entropy"` if left out. */
  readonly class?: ClassName;
  /** More fields for its `plugin.json`. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** More files for its folder, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/** A folder with a plugin in it, which goes with the test. */
export interface Fixture extends Disposable {
  /** Path of the folder. */
  readonly folder: string;
}

const PLUGIN_API = import.meta.resolve("../../core/plugin/mod.ts");
const DEVICE: Readonly<Record<ClassName, string>> = {
  entropy: "1044",
  block: "1042",
  network: "1041",
  console: "1043",
  balloon: "1045",
  scsi: "1048",
};

/**
 * Writes a plugin.
 *
 * @param module The text of its `mod.ts`.
 */
export function fixture(module: string, options: FixtureOptions = {}): Fixture {
  const { class: deviceClass = "entropy", manifest = {}, files = {} } = options;
  const folder = Deno.makeTempDirSync({ prefix: "virtio-plugin-" });
  const all: Readonly<Record<string, string>> = {
    "plugin.json": JSON.stringify({
      name: "fixture",
      entry: "./mod.ts",
      class: deviceClass,
      match: [{ vendor: "1af4", device: DEVICE[deviceClass] }],
      ...manifest,
    }),
    "deno.json": JSON.stringify({ imports: { "@virtio/deno/plugin": PLUGIN_API } }),
    "mod.ts": module,
    ...files,
  };
  for (const [name, text] of Object.entries(all)) {
    const path = `${folder}/${name}`;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(path, text);
  }
  return { folder, [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }) };
}

/** What makes up an entropy driver; each part is source text and can be replaced. */
export interface Parts {
  /** Statements before all others. */
  readonly load?: string;
  /** Body of `plan(offer)`. */
  readonly plan?: string;
  /** Statements of `start(device)`, before it returns the driver. */
  readonly start?: string;
  /** Body of `rung()`. */
  readonly rung?: string;
}

/** A plan that is right for an entropy device. */
export const PLAN = `{
  queues: { requests: { index: 0, size: 8 } },
  lanes: { requests: { slots: 8, slotBytes: 4096 } },
}`;

/** Statements of `rung()` that are right: finished requests back to the client, new ones to the device. */
export const WORK = `
  requests.drain((slot, written) => lane.complete(slot, 0, written));
  lane.take((slot) => {
    requests.begin(slot);
    requests.writable(lane.offset(slot), lane.word(slot, 2));
    return requests.commit();
  });`;

/** The text of an entropy driver that works, but for the given parts. */
export function entropyDriver(parts: Parts = {}): string {
  const { load = "", plan = `return ${PLAN};`, start = "", rung = WORK } = parts;
  return `
import { definePlugin } from "@virtio/deno/plugin";
${load}
export default definePlugin({
  plan(offer) { ${plan} },
  start({ queues: { requests }, lanes: { requests: lane }, buffers }) {
    ${start}
    return { rung() { ${rung} } };
  },
});
`;
}
