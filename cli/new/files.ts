// The files of a driver to begin with.

import { pciDriver } from "./pci.ts";
import { virtioDriver } from "./virtio.ts";

/** What is to be written. */
export interface NewDriver {
  /** Its name: lower-case letters, digits and hyphens. */
  readonly name: string;
  /** What kind of devices it drives. */
  readonly bus: "virtio" | "pci";
  /** Its class: `entropy`, or one that is written, too. */
  readonly class: string;
  /** The root of this project: one on this machine is used from there. */
  readonly root: URL;
  /** The version of this project. */
  readonly version: string;
}

/** What differs from one kind of device to another: a module each, and what plugin.json says of the device. */
export interface Parts {
  readonly needs: object;
  readonly driver: string;
  readonly model: string;
  readonly class: string;
  /** More tests, and what they import of the simulation. */
  readonly tests: string;
  readonly testImport: string;
  /** What of it is to be changed first, for the README: items of a list. */
  readonly next: readonly string[];
}

/** The texts of the files, by their names. */
export function driverFiles(wanted: NewDriver): Readonly<Record<string, string>> {
  const { name, bus, root, version } = wanted;
  const own = wanted.class !== "entropy";
  const parts = (bus === "pci" ? pciDriver : virtioDriver)(typeName(name), own);
  const local = root.protocol === "file:";
  const folder = decodeURIComponent(root.pathname).replace(/\/$/, "");
  const range = `jsr:@virtio/deno@^${version}`;
  const program = local ? `"${folder}/main.ts"` : `${range}/cli`;
  const config = {
    imports: { "@virtio/deno": range },
    ...(local && { links: [folder] }),
    fmt: { lineWidth: 100, proseWrap: "preserve" },
    tasks: {
      check: "deno check .",
      test: "deno test --allow-ffi",
      conform: `deno run --allow-ffi --allow-read=. ${program} conform driver .`,
    },
  };
  const manifest = {
    $schema: local
      ? new URL("schemas/plugin.json", root).href
      : `https://jsr.io/@virtio/deno/${version}/schemas/plugin.json`,
    name,
    version: "0.1.0",
    entry: "./mod.ts",
    class: wanted.class,
    ...parts.needs,
    limits: { memoryMiB: 1 },
  };
  return {
    "deno.json": `${JSON.stringify(config, null, 2)}\n`,
    "plugin.json": `${JSON.stringify(manifest, null, 2)}\n`,
    "mod.ts": parts.driver,
    ...(own && { "class.ts": parts.class }),
    "model.ts": parts.model,
    "mod_test.ts": testText(name, own, parts),
    "README.md": readme(name, own, parts.next),
  };
}

/** `my-card` as the name of a type: `MyCard`. */
function typeName(name: string): string {
  return name.split("-").filter((part) => part !== "")
    .map((part) => part[0]!.toUpperCase() + part.slice(1)).join("");
}

function testText(name: string, own: boolean, { tests, testImport }: Parts): string {
  const type = typeName(name);
  const imported = own
    ? 'import deviceClass from "./class.ts";'
    : 'import { entropy as deviceClass } from "@virtio/deno/entropy";';
  return `${own ? "" : `${imported}\n`}import { ${testImport} } from "@virtio/deno/simulation";
import { mustPass, testDriver } from "@virtio/deno/testing";
${own ? `${imported}\n` : ""}import driver from "./mod.ts";
import { ${type}Model } from "./model.ts";

// The device is used as the check of its class uses it; \`use\` would be another way.
Deno.test("${name}: the driver passes all that drivers are tested for", async () => {
  const report = await testDriver(driver, () => new ${type}Model(), {
    folder: import.meta.dirname!,
    class: deviceClass,
  });
  mustPass(report);
});
${tests}`;
}

function readme(name: string, own: boolean, next: readonly string[]): string {
  return `# ${name}

A driver for [virtio for Deno](https://jsr.io/@virtio/deno). It works as it stands, on the device that is in \`model.ts\`.

- \`plugin.json\`: which devices it drives, and what it needs of them; editors complete it
- \`mod.ts\`: the driver, which runs in a process of its own without any permission
${
    own
      ? "- `class.ts`: what a program holds of the device, and how it is checked\n"
      : ""
  }- \`model.ts\`: the device in software
- \`mod_test.ts\`: the tests

\`\`\`sh
deno task check     # types
deno task test      # the driver against the model: start, restart, hang, leak, a device that lies
deno task conform   # the same, as a report; add --junit <file>, --only <rows>, --json
\`\`\`

What to change first:

${next.map((each) => `- ${each}\n`).join("")}`;
}
