import type { PluginSource } from "../../mod.ts";
import type { DeviceModel, FunctionModel } from "../../simulation/mod.ts";
import type { Context } from "../command.ts";
import type { Transport } from "../commands/serve.ts";
import { endedByPerson, EXIT, untilEnded, usageError } from "../exit.ts";
import { printJson } from "../json.ts";
import { importModel } from "../modules.ts";
import type { Serving } from "../system.ts";
import { chooseModel, liesOf } from "./model_options.ts";
import { sharedMemory, shellLine } from "./qemu_line.ts";
import { watchOptions } from "./watch_options.ts";

/** The most functions that are served at once. */
const MOST = 31;

/** Whole PCI functions, each at a Unix socket in a folder. */
export const VFIO_USER: Transport = {
  option: {
    name: "vfio-user",
    value: "<folder>",
    summary: "serve whole PCI functions by vfio-user, each at a socket in this folder",
  },
  examples: [
    ["serve blk net --vfio-user /tmp --disk disk.img", "two PCI functions for a QEMU from 10.1 on"],
    ["serve blk --vfio-user /tmp --lie D-05", "one whose capabilities lie"],
    ["serve nvme --vfio-user /tmp", "an NVMe controller, which is no VirtIO device"],
    ["serve keyboard --plugins tests/third_party/keyboard --vfio-user /tmp", "a model of your own"],
  ],
  notes: [
    "By --vfio-user the whole PCI function is ours: its configuration space and capabilities lie, too. It prints",
    "QEMU's arguments, and says what is wrong with the memory of a guest that cannot work. A model of your own is",
    "model.ts in the folder of its driver (--plugins): it runs in this program, which Deno must allow to read",
    "there. A guest that leaves may come again: what a disk holds has stayed.",
  ],
  most: MOST,
  async serve(context, folder, names) {
    const { io, signal, options } = context;
    const serving = await io.system.loadServing();
    const plugins = await io.system.loadDrivers(options.plugins);
    const own = plugins.slice(0, options.plugins.length);
    checkOptions(context, serving, names);
    using stack = new DisposableStack();
    const models: Record<string, DeviceModel | FunctionModel> = {};
    for (const name of names) {
      const key = name in models ? `${name}-${Object.keys(models).length + 1}` : name;
      models[key] = await choose(context, serving, own, name, stack);
    }
    const watch = watchOptions(context);
    await using served = serving.serveVfioUser(models, folder, {
      log: context.talk,
      ...await watch.options(),
    });
    await using _watched = await watch.of("vfio-user", () => served.figures());
    const { sockets } = served;
    const qemu = [
      ...sharedMemory("q35"),
      ...Object.entries(sockets).flatMap(([id, path]) => deviceOf(id, path)),
    ];
    if (options.json) {
      printJson(context, "serve", { sockets, lies: liesOf(context), qemu });
    } else {
      context.talk(`Serving ${names.join(", ")} in ${folder} until Ctrl-C. QEMU needs:`);
      io.out(shellLine(qemu));
    }
    await untilEnded(signal);
    if (!endedByPerson(signal)) throw signal.reason;
    return EXIT.done;
  },
};

/** QEMU's arguments for a function. */
function deviceOf(id: string, path: string): readonly string[] {
  const device = { driver: "vfio-user-pci", id, socket: { type: "unix", path } };
  return ["-device", JSON.stringify(device)];
}

/** Throws if an option is given that none of the models knows, or that two would share. */
function checkOptions(
  { given }: Context,
  { MODELS }: Serving,
  names: readonly string[],
): void {
  if (given.once === true) throw usageError("Cannot use --once with --vfio-user: leave it out");
  for (const option of ["disk", "queues"] as const) {
    if (given[option] === undefined) continue;
    const fitting = names.filter((name) => MODELS[name]?.knows?.includes(option));
    if (fitting.length === 1) continue;
    throw usageError(
      `Cannot use --${option} for ${names.join(", ")}: it is for one model, and fits ${
        fitting.length === 0 ? "none" : fitting.length
      }`,
    );
  }
}

async function choose(
  context: Context,
  serving: Serving,
  plugins: readonly PluginSource[],
  name: string,
  stack: DisposableStack,
): Promise<DeviceModel | FunctionModel> {
  const plugin = plugins.find(({ manifest }) => manifest.name === name);
  if (plugin) {
    const place = new URL("./model.ts", plugin.entry).href;
    const model = await importModel(context, `load the model of ${name}`, place);
    return serving.makeLying(model, liesOf(context));
  }
  return stack.use(chooseModel(context, serving, name, true)).model;
}
