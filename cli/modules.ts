import type { DeviceClass } from "../core/class/mod.ts";
import type { DeviceModel, FunctionModel } from "../simulation/mod.ts";
import type { Context } from "./command.ts";
import { CliError, EXIT, messageOf, usageError } from "./exit.ts";
import { firstLine } from "./printable.ts";

/** The module of this program that imports others. */
const IMPORTER = new URL("../system.ts", import.meta.url).href;

/** What a module exports, by name. */
export type Exports = Readonly<Record<string, unknown>>;

/** What the commands need to import the modules that a user names. */
type Importing = Pick<Context, "options" | "until"> & {
  readonly io: { readonly system: Pick<Context["io"]["system"], "importModule" | "loadDrivers"> };
};

/**
 * The device classes of the modules that the user named by `--class`, by their names: those that they are exported by. One
 * that is the default export has the name that a driver of `--plugins` gives, if only one is left.
 *
 * @throws {CliError} With status 2 if a module has none, or it is not known what its name is; as {@linkcode load}.
 */
export async function importClasses(
  context: Importing,
): Promise<Readonly<Record<string, DeviceClass>>> {
  const { io: { system }, options: { classes, plugins } } = context;
  const found: Record<string, DeviceClass> = {};
  const add = (path: string, name: string, value: DeviceClass) => {
    if (Object.hasOwn(found, name)) {
      throw usageError(`Cannot use --class ${path}: there is a class named ${name} already`);
    }
    found[name] = value;
  };
  for (const path of classes) {
    const { default: nameless, ...exported } = await load(context, `use --class ${path}`, path);
    const named = Object.entries(exported).filter(([, value]) => isClass(value));
    for (const [name, value] of named) add(path, name, value as DeviceClass);
    const again = named.some(([, value]) => value === nameless);
    if (isClass(nameless) && !again) {
      const sources = (await context.until(system.loadDrivers(plugins))).slice(0, plugins.length);
      const wanted = new Set(sources.map(({ manifest }) => manifest.class));
      const [name, ...others] = [...wanted].filter((name) => !Object.hasOwn(found, name));
      if (name === undefined || others.length > 0) {
        throw usageError(
          `Cannot use --class ${path}: its class is the default export and has no name; ` +
            "export it by the name that plugin.json gives to the class",
        );
      }
      add(path, name, nameless);
    } else if (named.length === 0) {
      throw usageError(
        `Cannot use --class ${path}: it exports no device class, as defineClass makes one, but ` +
          listed([...Object.keys(exported), ...(nameless === undefined ? [] : ["default"])]),
      );
    }
  }
  return found;
}

/**
 * The device models of the modules that the user named by `--model`.
 *
 * @throws {CliError} As {@linkcode importModel}.
 */
export async function importModels(
  context: Importing,
): Promise<readonly (DeviceModel | FunctionModel)[]> {
  const models: (DeviceModel | FunctionModel)[] = [];
  for (const path of context.options.models) {
    models.push(await importModel(context, `use --model ${path}`, path));
  }
  return models;
}

/**
 * The device model that a module has: what its default export makes or is, or else the one class whose name ends in `Model`.
 *
 * @param action What it is for, in words that follow "Cannot".
 * @param place The module's path or URL.
 * @throws {CliError} With status 2 if it has none; as {@linkcode load}.
 */
export async function importModel(
  context: Importing,
  action: string,
  place: string,
): Promise<DeviceModel | FunctionModel> {
  return (await importMaker(context, action, place))();
}

/**
 * What makes the device model that a module has, as good as new each time it is called; a model that the module itself made
 * is always the same.
 *
 * @throws {CliError} As {@linkcode importModel}, now or when it is called.
 */
export async function importMaker(
  context: Importing,
  action: string,
  place: string,
): Promise<() => DeviceModel | FunctionModel> {
  const exports = await load(context, action, place);
  return () => modelOf(exports, action);
}

function modelOf(exports: Exports, action: string): DeviceModel | FunctionModel {
  const classes = Object.entries(exports).filter(([name, value]) =>
    typeof value === "function" && name.endsWith("Model")
  );
  const made = exports.default ?? (classes.length === 1 ? classes[0]![1] : undefined);
  // A class is made; what has no prototype is called, such as `() => new KeyboardModel()`.
  const model: unknown = typeof made !== "function"
    ? made
    : made.prototype
    ? Reflect.construct(made, [])
    : made();
  if (typeof model === "object" && model !== null) {
    if ("queues" in model && "handle" in model) return model as DeviceModel;
    if ("bars" in model && "vendor" in model) return model as FunctionModel;
  }
  throw usageError(
    `Cannot ${action}: it exports no device model; wanted a default export, or one class whose name ends in Model`,
  );
}

/**
 * Imports a module into this program.
 *
 * @throws {CliError} With status 5 if the program may not read it, or what it imports or reads; 2 if it cannot be loaded.
 */
export async function load(context: Importing, action: string, path: string): Promise<Exports> {
  try {
    return await context.until(context.io.system.importModule(path));
  } catch (error) {
    const said = firstLine(messageOf(error));
    const where = await placeOf(error);
    const file = /^Requires read access to "(.*)"/.exec(said)?.[1];
    if (file === undefined) throw usageError(`Cannot ${action}: ${said}${where}`);
    throw new CliError(
      EXIT.permission,
      `Cannot ${action}: it runs in this program, which may not read ${file}${where}; ` +
        `start that by deno run --allow-ffi --allow-read=${file.replace(/\/[^/]*$/, "") || "/"}`,
    );
  }
}

/** Where a module is wrong, in parentheses: the first place that V8 or Deno tell of. */
async function placeOf(error: unknown): Promise<string> {
  // Loaded where it is used: each start of the program would wait for it.
  const { stripVTControlCharacters } = await import("node:util");
  // On a terminal Deno colours the place of what is not found.
  const told = error instanceof Error
    ? stripVTControlCharacters(`${error.message}\n${error.stack}`)
    : "";
  const [, place] = /\n +at (?:.* \()?((?:file|https?):\S+:\d+:\d+)/.exec(told) ?? [];
  return place === undefined || place.startsWith(`${IMPORTER}:`) ? "" : ` (${place})`;
}

function isClass(value: unknown): value is DeviceClass {
  return typeof value === "object" && value !== null &&
    typeof (value as Partial<DeviceClass>).open === "function";
}

function listed(names: readonly string[]): string {
  return names.length > 0 ? names.join(", ") : "nothing";
}
