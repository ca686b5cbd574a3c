import type { EntropyClient } from "../../classes/entropy/mod.ts";
import type { Command, Context } from "../command.ts";
import { endedByPerson, EXIT, type ExitCode, usageError } from "../exit.ts";
import { printDeviceJson } from "../json.ts";
import { DEVICE_OPTION, type DeviceInUse, useDevice } from "../kernel.ts";

/** The most bytes at once: more comes out of `--continuous`. */
const MOST_BYTES = 64 * 2 ** 20;
/** Bytes of a piece. */
const PIECE_BYTES = 65536;

/** Writes random bytes. */
export const random: Command = {
  name: "random",
  summary: "Write random bytes of an entropy device to the standard output",
  usage: "[bytes]",
  words: [0, 1],
  options: [
    DEVICE_OPTION,
    { name: "continuous", summary: "without end, for a pipe, until that is closed" },
    { name: "hex", summary: "as hexadecimal digits and a line feed" },
    { name: "base64", summary: "as base64 and a line feed" },
  ],
  examples: [
    ["random 32 --hex --machine simulated", "64 digits from a device model"],
    ["random 1000000 --machine qemu > bytes", "a million bytes of QEMU's device, as they are"],
    ["random --continuous --machine qemu | rngtest -c 1000", "for a test suite"],
  ],
  notes: [
    "All bytes pass the continuous health tests of SP 800-90B, 4.4, first (repetition count, adaptive",
    "proportion). A device that fails them again and again is an error, and not one of its bytes comes out.",
    "There is no time limit but --timeout: a device that is short of bytes takes as long as it takes.",
  ],
  standing: true,
  async run(context) {
    const bytes = wanted(context);
    const { given, options, io } = context;
    if (io.terminal && !(given.hex || given.base64 || options.json)) {
      throw usageError(
        "Cannot write random bytes to a terminal: --hex and --base64 print them, or pipe them to a program",
      );
    }
    await using used = await useDevice(context, "entropy");
    const { client } = used.device;
    return bytes === undefined
      ? await writeAlways(context, client)
      : await writeBytes(context, used, bytes);
  },
};

/** How many bytes the user wants; undefined without end. */
function wanted({ words: [word], given, options }: Context): number | undefined {
  const forms = [given.hex && "--hex", given.base64 && "--base64", options.json && "--json"]
    .filter((form) => form);
  if (given.continuous) {
    const [other] = [word, ...forms].filter((each) => each !== undefined);
    if (other === undefined) return undefined;
    throw usageError(
      `Cannot use ${other} with --continuous: it writes bytes as they are, without end`,
    );
  }
  if (forms.length > 1) throw usageError(`Cannot use ${forms.join(" and ")} at once: choose one`);
  if (word === undefined) {
    throw usageError("Cannot run random without a number of bytes: give one, or --continuous");
  }
  const bytes = /^\d+$/.test(word) ? Number(word) : NaN;
  if (bytes <= MOST_BYTES) return bytes;
  throw usageError(
    `Cannot write ${
      JSON.stringify(word)
    } random bytes: wanted a whole number from 0 to ${MOST_BYTES}; ` +
      "more comes out of --continuous",
  );
}

async function writeBytes(
  context: Context,
  used: DeviceInUse<"entropy">,
  length: number,
): Promise<ExitCode> {
  const { given, options, io } = context;
  const { client } = used.device;
  const bytes = await context.until(client.read(length));
  if (options.json) {
    printDeviceJson(context, "random", used, {
      bytes: length,
      hex: bytes.toHex(),
      health: client.health,
    });
  } else if (given.hex) io.out(bytes.toHex());
  else if (given.base64) io.out(bytes.toBase64());
  else io.write(bytes);
  bytes.fill(0);
  return EXIT.done;
}

/** Writes until the output is closed, or the user ends the program. */
async function writeAlways(
  { io, signal, until }: Context,
  client: EntropyClient,
): Promise<ExitCode> {
  const bytes = new Uint8Array(PIECE_BYTES);
  try {
    do await until(client.readInto(bytes)); while (io.write(bytes));
  } catch (error) {
    if (!endedByPerson(signal)) throw error;
  }
  return EXIT.done;
}
