import type { Command, CommandOption, Context } from "../command.ts";
import { CliError, EXIT, type ExitCode, messageOf, usageError } from "../exit.ts";
import { VFIO_USER } from "../serve/vfio_user.ts";
import { VHOST_USER } from "../serve/vhost_user.ts";

/** A way to serve devices to virtual machines. Each is a file of its own, in `cli/serve`. */
export interface Transport {
  /** The option that asks for it; its value says where. */
  readonly option: CommandOption;
  /** Command lines to copy, and what each does. */
  readonly examples: Command["examples"];
  /** What else is to be known of it, as lines. */
  readonly notes: readonly string[];
  /** How many devices it serves at once, at most. */
  readonly most: number;
  /**
   * Serves devices until the context's signal is aborted.
   *
   * @param where The option's value.
   * @param names What to serve.
   */
  serve(context: Context, where: string, names: readonly string[]): Promise<ExitCode>;
}

/** All of them. */
const TRANSPORTS: readonly Transport[] = [VHOST_USER, VFIO_USER];
const NAMES = TRANSPORTS.map(({ option }) => `--${option.name}`).join(" or ");

/** Serves devices of our own to virtual machines. */
export const serve: Command = {
  name: "serve",
  summary: "Serve simulated devices to a virtual machine",
  usage: "<model...>",
  words: [1, Math.max(...TRANSPORTS.map(({ most }) => most))],
  standing: true,
  options: [
    ...TRANSPORTS.map(({ option }) => option),
    {
      name: "lie",
      value: "<numbers>",
      summary: "the rules that it breaks, for example D-41 or D-41,D-46",
    },
    { name: "once", summary: "end when the first machine has left" },
    { name: "disk", value: "<file>", summary: "where the bytes of a disk are (blk)" },
    { name: "queues", value: "<count>", summary: "request queues of a disk (blk)" },
  ],
  examples: TRANSPORTS.flatMap(({ examples }) => examples),
  notes: [
    "The models are blk, scsi, net, random, console and balloon; by --vfio-user also nvme. What a device does when it",
    "lies stands in docs/test-your-driver.md.",
    "",
    ...TRANSPORTS.flatMap(({ notes }) => notes),
  ],
  async run(context) {
    const chosen = TRANSPORTS.filter(({ option }) => context.given[option.name] !== undefined);
    const [transport] = chosen;
    if (!transport) throw usageError(`Cannot serve without ${NAMES}: it says where`);
    if (chosen.length > 1) throw usageError(`Cannot serve in two ways at once: ${NAMES}`);
    const { name } = transport.option;
    if (context.words.length > transport.most) {
      throw usageError(`Cannot serve more than ${transport.most} devices by --${name}`);
    }
    try {
      return await transport.serve(context, String(context.given[name]), context.words);
    } catch (error) {
      if (error instanceof RangeError) throw usageError(error.message);
      // What stands in the way of the socket is no device that is not there.
      if ((error as { readonly code?: unknown }).code !== "ENOENT") throw error;
      throw new CliError(EXIT.failed, messageOf(error), { cause: error });
    }
  },
};
