import type { DeviceModel, FunctionModel } from "../../simulation/mod.ts";
import type { Context } from "../command.ts";
import { CliError, EXIT, exitCode, messageOf, usageError } from "../exit.ts";
import { numberOption } from "../number_option.ts";
import { suggest } from "../suggest.ts";
import type { Serving } from "../system.ts";

/** A model as the user wants it. Disposing it closes its disk. */
export interface ChosenModel extends Disposable {
  readonly model: DeviceModel | FunctionModel;
  /** How many request queues it has, if it has a choice of them; 1 else. */
  readonly queues: number;
  /** Numbers of the rules that it breaks. */
  readonly lies: readonly string[];
}

/** The most queues of a disk that a machine makes use of. */
const MOST_QUEUES = 64;

/** The rules that all models are to break, by their numbers. */
export function liesOf({ given }: Context): readonly string[] {
  return typeof given.lie === "string" ? given.lie.split(",") : [];
}

/**
 * Makes a model by the options about models.
 *
 * @param whole As a whole PCI function, beside others, which the other options may be for.
 * @throws {CliError} If there is no such model, it does not know an option, or the disk cannot be opened.
 */
export function chooseModel(
  context: Context,
  { MODELS, makeModel, FileStore }: Serving,
  name: string,
  whole = false,
): ChosenModel {
  const { given } = context;
  const servable = Object.hasOwn(MODELS, name) ? MODELS[name] : undefined;
  if (!servable) {
    const names = Object.keys(MODELS);
    throw usageError(
      `Unknown model ${JSON.stringify(name)}.${suggest(name, names)} There are ${names.join(", ")}`,
    );
  }
  for (const option of ["disk", "queues"] as const) {
    if (whole || given[option] === undefined || servable.knows?.includes(option)) continue;
    const owners = Object.keys(MODELS).filter((each) => MODELS[each]!.knows?.includes(option));
    throw usageError(`Cannot use --${option} with ${name}: it is for ${owners.join(", ")}`);
  }
  const queues = numberOption(context, "queues", { usual: 1, least: 1, greatest: MOST_QUEUES });
  const lies = liesOf(context);
  const file = servable.knows?.includes("disk") ? given.disk : undefined;
  const disk = typeof file === "string" ? open(FileStore, file) : undefined;
  try {
    const model = makeModel(name, { queues, whole, ...(disk ? { disk } : {}) }, lies);
    return { model, queues, lies, [Symbol.dispose]: () => disk?.[Symbol.dispose]() };
  } catch (error) {
    disk?.[Symbol.dispose]();
    throw error;
  }
}

function open(FileStore: Serving["FileStore"], path: string) {
  try {
    return new FileStore(path);
  } catch (error) {
    const exit = exitCode(error) === EXIT.permission ? EXIT.permission : EXIT.failed;
    throw new CliError(exit, messageOf(error), { cause: error });
  }
}
