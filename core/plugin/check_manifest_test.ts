import { assert, assertEquals, assertThrows } from "@std/assert";
import { Ajv } from "ajv";
import fc from "fast-check";
import schema from "../../schemas/plugin.json" with { type: "json" };
import { parseManifest } from "./check_manifest.ts";
import { ManifestError } from "./manifest.ts";

const GOOD = {
  name: "random",
  entry: "./mod.ts",
  class: "entropy",
  match: [{ vendor: "1af4", device: "1044" }, { class: "ff" }],
};

Deno.test("parseManifest reads the four fields that are needed and fills in the limits", () => {
  assertEquals(parseManifest(JSON.stringify(GOOD), "plugins/random/plugin.json"), {
    name: "random",
    entry: "./mod.ts",
    class: "entropy",
    match: [{ vendor: "1af4", device: "1044" }, { class: "ff" }],
    limits: { memoryMiB: 16, heapMiB: 256 },
    config: [],
    features: [],
    tunables: [],
    file: "plugins/random/plugin.json",
  });
});

Deno.test("parseManifest reads everything", () => {
  const more = {
    ...GOOD,
    entry: "./src/driver.js",
    class: "block",
    limits: { memoryMiB: 64, heapMiB: 128 },
    config: { capacity: "u64", size_max: "u32", heads: "u8", writeback: "u8 rw", mac: "u8[2] rw" },
    features: { ONE: 1, TWO: 2, BOTH: [3, "ONE", "TWO"], EITHER: [50, "ONE|TWO"] },
    tunables: {
      tso_disable: false,
      queues: { usual: 0, least: -1, greatest: 16 },
      order: ["spec", "reversed"],
    },
    description: "Müller's driver",
    version: "1.0.0",
  };
  assertEquals(parseManifest(JSON.stringify(more), "p"), {
    ...more,
    class: "block",
    config: [
      { name: "capacity", bytes: 8 },
      { name: "size_max", bytes: 4 },
      { name: "heads", bytes: 1 },
      { name: "writeback", bytes: 1, writable: true },
      { name: "mac[0]", bytes: 1, writable: true },
      { name: "mac[1]", bytes: 1, writable: true },
    ],
    features: [
      { name: "ONE", bit: 1, needs: [] },
      { name: "TWO", bit: 2, needs: [] },
      { name: "BOTH", bit: 3, needs: [[1], [2]] },
      { name: "EITHER", bit: 50, needs: [[1, 2]] },
    ],
    tunables: [
      { name: "tso_disable", usual: false },
      { name: "queues", usual: 0, least: -1, greatest: 16 },
      { name: "order", usual: "spec", words: ["spec", "reversed"] },
    ],
    file: "p",
  });
});

Deno.test("parseManifest takes what a driver of a PCI device needs", () => {
  const registers = {
    control: { bar: 0, bytes: 4096 },
    bells: { bar: 2, offset: 8192, bytes: 8, doorbells: true },
  };
  const text = JSON.stringify({ ...GOOD, bus: "pci", registers, vectors: 4 });
  assertEquals(parseManifest(text, "p").pci, {
    registers: [
      { name: "control", bar: 0, offset: 0, bytes: 4096 },
      { name: "bells", bar: 2, offset: 8192, bytes: 8, doorbells: true },
    ],
    vectors: 4,
    addressBits: 64,
  });
  const least = parseManifest(JSON.stringify({ ...GOOD, bus: "pci", registers: {} }), "p");
  assertEquals(least.pci, { registers: [], vectors: 1, addressBits: 64 });
  assertEquals(parseManifest(JSON.stringify({ ...GOOD, bus: "virtio" }), "p").pci, undefined);
});

/** A changed field, and what the error says about it. */
const BAD: readonly [Record<string, unknown>, string][] = [
  [
    { bus: "pci", registers: { a: { bar: 0, bytes: 8192, doorbells: true } } },
    "field registers.a.doorbells: found true, wanted one window of doorbells, of at most 4096 bytes",
  ],
  [
    {
      bus: "pci",
      registers: {
        a: { bar: 0, bytes: 4, doorbells: true },
        b: { bar: 1, bytes: 4, doorbells: true },
      },
    },
    "field registers.b.doorbells: found true, wanted one window of doorbells",
  ],
  [
    { bus: "pci", registers: { a: { bar: 0, bytes: 4, doorbells: 1 } } },
    "field registers.a.doorbells: found 1, wanted true or false",
  ],
  [{ config: ["u64"] }, "field config: found"],
  [{ config: { capacity: "u65" } }, 'field config.capacity: found "u65", wanted u8, u16, u32, u64'],
  [
    { config: { a: "u8 wr" } },
    'field config.a: found "u8 wr", wanted u8, u16, u32, u64, several as "u8[6]", or "u32 rw"',
  ],
  [{ config: { a: "u8", b: "u32" } }, "field config.b: found"],
  [
    { config: { a: "u8[3]", b: "u32" } },
    'field config.b: found "u32", wanted a field that may stand at offset 3',
  ],
  [{ config: { a: "u8[0]" } }, 'field config.a: found "u8[0]"'],
  [{ config: { a: "u8[1000]" } }, 'field config.a: found "u8[1000]"'],
  [{ features: [] }, "field features: found []"],
  [{ features: { VERSION: 32 } }, "field features.VERSION: found 32, wanted a bit of the device"],
  [{ features: { A: 200 } }, "field features.A: found 200"],
  [
    { features: { A: [1, "B"] } },
    'field features.A: found "B", wanted the name of another feature',
  ],
  [{ tunables: [] }, 'field tunables: found [], wanted an object like { "csum_disable": false }'],
  [{ tunables: { "a.b": false } }, "field tunables.a.b: found false, wanted a name"],
  [{ tunables: { a: [] } }, "field tunables.a: found [], wanted words"],
  [{ tunables: { a: ["x", 1] } }, 'field tunables.a: found ["x",1], wanted words'],
  [{ tunables: { a: "x" } }, 'field tunables.a: found "x", wanted an object with usual, least'],
  [{ tunables: { a: { usual: 1, least: 0 } } }, "field tunables.a.greatest: found nothing"],
  [
    { tunables: { a: { usual: 9, least: 0, greatest: 8 } } },
    "field tunables.a.usual: found 9, wanted a whole number from 0 to 8",
  ],
  [{ name: undefined }, "field name: found nothing, wanted lower-case letters"],
  [{ name: "Random" }, 'field name: found "Random", wanted lower-case letters'],
  [{ name: "9p" }, "field name"],
  [{ name: "a\n" }, "field name"],
  [{ name: 7 }, "field name: found 7"],
  [{ entry: undefined }, "field entry: found nothing"],
  [{ entry: "mod.ts" }, "field entry"],
  [{ entry: "/etc/mod.ts" }, "field entry"],
  [
    { entry: "./../mod.ts" },
    'field entry: found "./../mod.ts", wanted the path of a .ts or .js file',
  ],
  [{ entry: "./a/../mod.ts" }, "field entry"],
  [{ entry: "./a\\..\\mod.ts" }, "field entry"],
  [{ entry: "https://example.com/mod.ts" }, "field entry"],
  [{ entry: "./mod.wasm" }, "field entry"],
  [{ class: undefined }, "field class: found nothing, wanted lower-case letters"],
  [{ class: "Net" }, 'field class: found "Net", wanted lower-case letters'],
  [{ match: undefined }, "field match: found nothing, wanted a list of at least one rule"],
  [{ match: [] }, "field match: found [], wanted a list of at least one rule"],
  [{ match: {} }, "field match: found {}"],
  [{ match: ["1af4"] }, 'field match[0]: found "1af4", wanted an object with vendor, device'],
  [{ match: [{ class: "ff" }, {}] }, "field match[1]: found {}, wanted at least one of vendor"],
  [{ match: [{ vendor: 6900 }] }, "field match[0].vendor: found 6900, wanted 4 hexadecimal digits"],
  [
    { match: [{ vendor: "1AF4" }] },
    'field match[0].vendor: found "1AF4", wanted 4 hexadecimal digits',
  ],
  [{ match: [{ device: "0x1044" }] }, "field match[0].device"],
  [{ match: [{ subsystem: "4" }] }, "field match[0].subsystem"],
  [{ match: [{ subsystemVendor: "" }] }, "field match[0].subsystemVendor"],
  [{ match: [{ class: "018" }] }, 'field match[0].class: found "018", wanted 2, 4, 6 hexadecimal'],
  [
    { match: [{ vender: "1af4" }] },
    'field match[0].vender: found "1af4", wanted nothing: the known fields are',
  ],
  [{ limits: 16 }, "field limits: found 16, wanted an object with memoryMiB, heapMiB"],
  [
    { limits: { memoryMiB: 0 } },
    "field limits.memoryMiB: found 0, wanted a whole number from 1 to 1024",
  ],
  [{ limits: { memoryMiB: 1.5 } }, "field limits.memoryMiB: found 1.5"],
  [
    { limits: { heapMiB: "64" } },
    'field limits.heapMiB: found "64", wanted a whole number from 32',
  ],
  [{ limits: { heapMiB: 4097 } }, "field limits.heapMiB"],
  [{ limits: { cpu: 1 } }, "field limits.cpu: found 1, wanted nothing: the known fields are"],
  [{ bus: "isa" }, 'field bus: found "isa", wanted one of virtio, pci'],
  [
    { registers: {} },
    "field registers: found {}, wanted nothing: it means nothing on the bus virtio",
  ],
  [{ vectors: 1 }, "field vectors: found 1, wanted nothing"],
  [{ addressBits: 32 }, "field addressBits: found 32, wanted nothing"],
  [
    { bus: "pci", registers: {}, addressBits: 65 },
    "field addressBits: found 65, wanted a whole number from 20 to 64",
  ],
  [{ bus: "pci" }, 'field registers: found nothing, wanted an object like { "control"'],
  [{ bus: "pci", registers: {}, features: {} }, "field features: found {}, wanted nothing"],
  [{ bus: "pci", registers: {}, vectors: 33 }, "field vectors: found 33, wanted a whole number"],
  [{ bus: "pci", registers: { A: {} } }, "field registers.A: found {}, wanted a name"],
  [{ bus: "pci", registers: { a: { bytes: 4 } } }, "field registers.a.bar: found nothing"],
  [{ bus: "pci", registers: { a: { bar: 6, bytes: 4 } } }, "field registers.a.bar: found 6"],
  [{ bus: "pci", registers: { a: { bar: 0 } } }, "field registers.a.bytes: found nothing"],
  [{ bus: "pci", registers: { a: { bar: 0, bytes: 6 } } }, "field registers.a.bytes: found 6"],
  [{ bus: "pci", registers: { a: { bar: 0, offset: 8, bytes: 4 } } }, "field registers.a.offset"],
  [{ description: "" }, "field description"],
  [{ description: "\x1b[31mred" }, "field description: found"],
  [{ version: 1 }, "field version: found 1, wanted one line of text"],
  [{ macth: [] }, "field macth: found [], wanted nothing: the known fields are $schema, name"],
  [{ $schema: 7 }, "field $schema: found 7, wanted the address of a schema"],
];

/** What one field says of another, or where it stands in memory, no schema tells. */
const BEYOND_SCHEMAS = [
  "field registers.b.doorbells",
  "field config.b: found",
  "wanted the name of another feature",
  "wanted a whole number from 0 to 8",
];

const fitsSchema = new Ajv({ allErrors: true, strictTypes: false, strictTuples: false })
  .compile(schema);

/** The folders of all drivers of the tree. */
function* drivers(): Generator<string> {
  for (const folder of ["plugins", "tests/third_party"]) {
    for (const { name } of Deno.readDirSync(new URL(`../../${folder}`, import.meta.url))) {
      yield `${folder}/${name}`;
    }
  }
}

Deno.test("schemas/plugin.json takes what parseManifest takes: all drivers of the tree among them #cli:plugin_schema", () => {
  let count = 0;
  for (const folder of drivers()) {
    const text = Deno.readTextFileSync(
      new URL(`../../${folder}/plugin.json`, import.meta.url),
    );
    parseManifest(text, folder);
    assert(fitsSchema(JSON.parse(text)), `${folder}: ${JSON.stringify(fitsSchema.errors)}`);
    count++;
  }
  assert(count > 8);
  assert(fitsSchema({ $schema: schema.$id, ...GOOD }));
  parseManifest(JSON.stringify({ $schema: schema.$id, ...GOOD }), "p");
});

for (const [change, message] of BAD) {
  Deno.test(`parseManifest refuses ${JSON.stringify(change)}, and so does its schema #cli:plugin_schema`, () => {
    const text = JSON.stringify({ ...GOOD, ...change });
    assertEquals(
      fitsSchema(JSON.parse(text)),
      BEYOND_SCHEMAS.some((each) => message.includes(each)),
    );
    assertThrows(
      () => parseManifest(text, "a/plugin.json"),
      ManifestError,
      `a/plugin.json, ${message}`,
    );
  });
}

Deno.test("parseManifest refuses what is no JSON object", () => {
  assertThrows(() => parseManifest("{", "f"), ManifestError, "Cannot read f: it is not JSON");
  assertThrows(
    () => parseManifest("[]", "f"),
    ManifestError,
    "Cannot read f: found [], wanted an object",
  );
  assertThrows(() => parseManifest("null", "f"), ManifestError, "Cannot read f: found null");
  const proto = '{ "__proto__": { "name": "x" } }';
  assertThrows(() => parseManifest(proto, "f"), ManifestError, "field __proto__");
});

Deno.test("parseManifest throws nothing but a ManifestError, whatever the JSON is", () => {
  const field = fc.constantFrom(...Object.keys(GOOD), "limits", "description", "tunables");
  fc.assert(fc.property(field, fc.jsonValue(), (key, value) => {
    try {
      parseManifest(JSON.stringify({ ...GOOD, [key]: value }), "f");
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error;
    }
  }));
});
