/**
 * Which folder imports which: the rules of the architecture, held against the real import graph.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { moduleGraph } from "../tools/module_graph.ts";
import { patience } from "./support/patience.ts";

const ROOT = new URL("../", import.meta.url);

const PLUGINS = [...Deno.readDirSync(new URL("plugins", ROOT))].map(({ name }) =>
  `plugins/${name}`
);

/** A module of each class. */
function modulesOfClasses(name: string): string[] {
  return [...Deno.readDirSync(new URL("classes", ROOT))].filter(({ isDirectory }) => isDirectory)
    .map((folder) => `classes/${folder.name}/${name}`);
}

/** What drivers of a class and its clients agree on. */
const PROTOCOLS = modulesOfClasses("protocol.ts");

/**
 * For each layer, a folder with all in it, what it may import besides itself. A module belongs to the layer with the
 * longest name that fits; a name that ends in `.ts` stands for this one module.
 */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  // Pure.
  "core/dma": [],
  "core/pci": ["core/dma"],
  "core/virtqueue": ["core/dma"],
  "core/virtio": ["core/pci"],
  "core/vhost": ["core/virtqueue"],
  "core/bus": ["core/dma", "core/pci", "core/virtqueue"],
  "core/class": ["core/bus"],
  "core/plugin": ["core/bus", "core/pci", "core/virtio", "core/virtqueue"],
  "simulation": ["core/dma", "core/pci", "core/virtio", "core/virtqueue"],
  // What an application holds of a device.
  "classes": ["core/class/mod.ts"],
  "core/trace": ["core/bus", "core/dma", "core/pci", "core/virtqueue"],
  // The system.
  "core/linux": [],
  "core/irq": ["core/bus", "core/linux"],
  "core/platform": ["core/dma", "core/linux", "core/pci"],
  "core/platform/qemu": ["core/dma", "core/linux", "core/irq", "core/pci", "core/platform"],
  "core/platform/vfio": ["core/dma", "core/linux", "core/irq", "core/pci", "core/platform"],
  "simulation/platform": [
    "core/dma",
    "core/linux",
    "core/irq",
    "core/pci",
    "core/platform",
    "simulation",
  ],
  "simulation/vhost_user": [
    "core/dma",
    "core/linux",
    "core/irq",
    "core/pci",
    "core/platform",
    "core/vhost",
    "core/virtio",
    "core/virtqueue",
    "simulation",
  ],
  // Devices that we play for other programs.
  "serve/vfio_user": ["core/pci", "simulation"],
  "serve": [
    "core/dma",
    "core/irq",
    "core/linux",
    "core/pci",
    "simulation",
    "serve/vfio_user",
    "core/trace",
    "core/vhost",
    "core/virtio",
    "core/virtqueue",
  ],
  // What kinds of devices there are.
  "core/binding": [
    "core/bus",
    "core/dma",
    "core/linux",
    "core/irq",
    "core/pci",
    "core/plugin",
    "core/trace",
    "core/virtio",
    "core/virtqueue",
  ],
  // Everything but plugins.
  "core/kernel": [
    "deno.json",
    "core/binding",
    "core/bus",
    "core/class",
    "core/dma",
    "core/linux",
    "core/irq",
    "core/pci",
    "core/platform",
    "core/plugin",
    "core/trace",
    "core/virtio",
    "core/virtqueue",
  ],
  // What drivers are tested with.
  "testing": [
    "core/binding",
    "core/bus",
    "core/class",
    "core/dma",
    "core/irq",
    "core/kernel",
    "core/linux",
    "core/pci",
    "core/platform",
    "core/plugin",
    "core/trace",
    "simulation",
    "core/virtio",
    "core/virtqueue",
    // Its numbers that a seed makes.
    "conform",
  ],
  // What devices are checked with.
  "conform": [
    "core/dma",
    "core/linux",
    "core/pci",
    "core/trace",
    "core/virtio",
    "core/virtqueue",
  ],
  // What is made of a trace, and what other programs see of a machine at work.
  "watch": ["core/irq", "core/kernel", "core/linux", "core/platform", "core/trace"],
  "nbd": ["classes", "core/bus", "core/class", "core/linux", "core/irq"],
  // Tools around the machine.
  "machine": [
    "core/binding",
    "core/linux",
    "core/pci",
    "core/platform",
    "core/plugin",
    "core/virtio",
  ],
  // A program as any other: what it can do, others can by the same exports.
  "cli": [
    "deno.json",
    "mod.ts",
    "serving.ts",
    "testing/mod.ts",
    "core/class/mod.ts",
    "core/linux/mod.ts",
    "conform/mod.ts",
    "serve/mod.ts",
    "simulation/mod.ts",
    "machine/mod.ts",
    "nbd/mod.ts",
    "watch/mod.ts",
    ...modulesOfClasses("mod.ts"),
    ...modulesOfClasses("protocol.ts"),
  ],
  // What third parties have, and no more.
  ...Object.fromEntries(PLUGINS.flatMap((plugin) => [
    [plugin, ["core/plugin/mod.ts", ...PROTOCOLS]],
    [`${plugin}/model.ts`, [plugin, "simulation/mod.ts"]],
    [`${plugin}/model`, ["simulation/mod.ts"]],
  ])),
  // Wiring.
  "back_ends.ts": ["simulation"],
  "mod.ts": ["back_ends.ts", "classes", "classes.ts", "core", "drivers.ts", "simulation", "watch"],
  "classes.ts": ["classes", "core"],
  "drivers.ts": ["core", "plugins", "simulation"],
  "serving.ts": ["core", "plugins", "serve", "simulation"],
  "system.ts": [
    "cli",
    "conform/mod.ts",
    "core/linux/mod.ts",
    "machine/mod.ts",
    "mod.ts",
    "serving.ts",
    "testing/mod.ts",
    "watch/mod.ts",
  ],
  "main.ts": ["cli", "system.ts"],
  "create.ts": ["cli", "system.ts"],
};

/** Text that may stand in some layers only. */
const WORDS: readonly (readonly [word: RegExp, only: readonly string[]])[] = [
  [/\bDeno\.(dlopen|UnsafePointer|UnsafeCallback|UnsafeFnPointer)/, ["core/linux"]],
  [/\bDeno\./, ["core/linux", "core/kernel", "cli", "create.ts", "main.ts"]],
  [/"\/(dev|proc|sys)\//, ["core/linux", "core/kernel", "core/platform", "machine", "classes.ts"]],
  [/\b(eval|Function)\(/, []],
  // Only what a command needs is loaded for it; and a plugin, with less rights than what loads it.
  [/\bimport\((?!"node:)/, [
    "system.ts",
    "core/kernel/process_host.ts",
    "core/kernel/process_main.ts",
  ]],
  // Deno's own code, which needs no permission.
  [/(from |import\()"node:(crypto|util)"/, ["cli"]],
  [/(from |import\()"(node:(?!(crypto|util)")|npm:|https?:)/, []],
  [/from "(jsr:)?@std\//, ["cli"]],
];

interface Module {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function within(path: string, layer: string): boolean {
  return path === layer || path.startsWith(`${layer}/`);
}

function layerOf(path: string): string {
  const layer = Object.keys(LAYERS).filter((each) => within(path, each))
    .sort((a, b) => b.length - a.length)[0];
  assert(layer, `${path} belongs to no layer`);
  return layer;
}

/** Paths of the project's modules, without tests, benchmarks and their like. */
function* sources(folder = ""): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
    const path = `${folder}${name}`;
    if (isDirectory) {
      if (
        folder !== "" ||
        [
          "classes",
          "conform",
          "core",
          "cli",
          "machine",
          "nbd",
          "plugins",
          "serve",
          "simulation",
          "testing",
          "watch",
        ]
          .includes(name)
      ) {
        yield* sources(`${path}/`);
      }
    } else if (/(?<!_test|_bench|\.d)\.ts$/.test(name)) yield path;
  }
}

/** The import graph of all of them: of each, what it imports of this project. */
async function modules(): Promise<readonly Module[]> {
  const found = new Map<string, Module>();
  const own = (specifier: string) =>
    specifier.startsWith(ROOT.href) ? [specifier.slice(ROOT.href.length)] : [];
  // The first knows nearly all of the others.
  for (const root of ["main.ts", "create.ts", ...sources()]) {
    if (found.has(root)) continue;
    for (const [specifier, imports] of await moduleGraph(root, ROOT, patience())) {
      const [path] = own(specifier);
      if (!path?.endsWith(".ts") || path.startsWith("bridge/")) continue;
      found.set(path, {
        path,
        text: Deno.readTextFileSync(new URL(path, ROOT)),
        imports: imports.flatMap(own),
      });
    }
  }
  return [...found.values()];
}

Deno.test("modules: import only what their layer may", async () => {
  const all = await modules();
  assert(all.length > 80, `${all.length} modules`);
  const violations = all.flatMap(({ path, imports }) => {
    const layer = layerOf(path);
    const allowed = [layer, ...LAYERS[layer]!];
    return imports.filter((target) =>
      !target.startsWith("bridge/") && !allowed.some((each) => within(target, each))
    ).map((target) => `${path} imports ${target}`);
  });
  assertEquals(violations, []);
});

Deno.test("modules: touch the system only where they may", async () => {
  const violations = (await modules()).flatMap(({ path, text }) => {
    const code = text.replace(/\/\*[^]*?\*\/|\/\/ .*$/gm, "");
    return WORDS.filter(([word, only]) =>
      word.test(code) && !only.some((layer) => within(path, layer))
    ).map(([word]) => `${path} has ${word.exec(code)![0]}`);
  });
  assertEquals(violations, []);
});

/** What knows no kind of device, and what opens with its subject. */
const GENERAL = ["core/", "machine/", "serve/", "simulation/", "testing/"];

Deno.test("modules: each file of the core, and beside it, opens with its subject", () => {
  const named = /^export (?:abstract |async )?(?:class|function\*?|interface|const|type) (\w+)/;
  const violations = GENERAL.flatMap((folder) => [...sources(folder)]).filter((path) => {
    const text = Deno.readTextFileSync(new URL(path, ROOT));
    if (/^\/[/*]/.test(text)) return false;
    // What comes first after the imports, or is all that there is.
    const code = text.replace(/^import [^;]*;\n|\/\*\*[^]*?\*\/\n|^ *\/\/ .*\n/gm, "").trimStart();
    const file = path.split("/").at(-1)!.replace(/_|\.ts/g, "");
    const opens = named.exec(code)?.[1]?.toLowerCase() === file;
    return !opens && code.match(new RegExp(named, "gm"))?.length !== 1;
  });
  assertEquals(violations, []);
});

/** Kinds of devices, as words of their own or as part of a name; the console that is printed to is none. */
const DEVICES = /(?<![a-z])(block|network|console(?!\.)|entropy|balloon|scsi)s?(?![a-z])/i;

Deno.test("modules: the core, simulation, servers and testing know no device", () => {
  const violations = GENERAL.flatMap((folder) => [...sources(folder)])
    // Linux has block devices and network interfaces, and so has a machine that is looked at.
    .filter((path) => !["core/linux", "machine"].some((each) => within(path, each)))
    .flatMap((path) => {
      const text = Deno.readTextFileSync(new URL(path, ROOT));
      const code = text.replace(/\/\*[^]*?\*\/|\/\/ .*$/gm, "")
        .replace(/([a-z0-9])([A-Z])/g, "$1 $2");
      const word = DEVICES.exec(code);
      return word ? [`${path} has ${word[0]}`] : [];
    });
  assertEquals(violations, []);
});

/** The folder that a module is in; modules at the top, and those of `exports`, stand for themselves. */
function folderOf(path: string): string {
  const [, folder = path] =
    /^((?:core\/platform|core|classes|plugins)\/[^/]+|serve\/v\w+|simulation\/(?:platform|vhost_user)|\w+)\//
      .exec(
        path,
      ) ?? [];
  return folder;
}

Deno.test("modules: the graph of folders has no circle", async () => {
  const graph = new Map<string, Set<string>>();
  for (const { path, imports } of await modules()) {
    const from = folderOf(path);
    const to = graph.get(from) ?? new Set();
    for (const target of imports) if (folderOf(target) !== from) to.add(folderOf(target));
    graph.set(from, to);
  }
  // What imports nothing of the rest, or is imported by nothing of it, is in no circle.
  const left = new Set(graph.keys());
  const leads = (from: string, to: string) => left.has(from) && graph.get(from)!.has(to);
  for (let before = -1; left.size !== before;) {
    before = left.size;
    for (const folder of left) {
      const others = [...left];
      if (others.some((to) => leads(folder, to)) && others.some((from) => leads(from, folder))) {
        continue;
      }
      left.delete(folder);
    }
  }
  const inCircles = [...left].map((folder) =>
    `${folder} imports ${[...graph.get(folder)!].filter((target) => left.has(target)).join(", ")}`
  );
  assertEquals(inCircles, []);
});

/** The names that a module exports. */
async function exported(path: string): Promise<readonly string[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    signal: patience(),
    args: ["doc", "--json", path],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    readonly nodes: Readonly<Record<string, { readonly symbols: readonly { name: string }[] }>>;
  };
  return [
    ...new Set(Object.values(nodes).flatMap(({ symbols }) => symbols.map(({ name }) => name))),
  ];
}

Deno.test("exports: few enough to be known", async () => {
  for (const [path, most] of [["mod.ts", 80], ["core/plugin/mod.ts", 25]] as const) {
    const names = await exported(path);
    assert(names.length > 10, `${path} exports ${names}`);
    assert(names.length <= most, `${path} exports ${names.length} names: ${names.join(", ")}`);
  }
});
