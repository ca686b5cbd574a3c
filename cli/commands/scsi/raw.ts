import {
  formatScsiAddress,
  type ScsiAddress,
  type ScsiAnswer,
  type ScsiClient,
  ScsiError,
  ScsiResponse,
  ScsiStatus,
  scsiStatusText,
} from "../../../classes/scsi/mod.ts";
import { Status } from "../../../core/class/mod.ts";
import type { Command, Context } from "../../command.ts";
import { errorJson } from "../../error_json.ts";
import { CliError, EXIT, type ExitCode, exitCode, usageError } from "../../exit.ts";
import { UserFile } from "../../file.ts";
import { hexDump } from "../../hex_dump.ts";
import { printDeviceJson } from "../../json.ts";
import { keepsDisks, WRITE_OPTION } from "../../disk.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";
import { hex } from "../../lspci.ts";
import { LUN_OPTION, lunOf } from "../../lun.ts";

/** Commands that change nothing: TEST UNIT READY, INQUIRY, reads, and what else only tells. */
const HARMLESS = [
  ...[0x00, 0x03, 0x08, 0x12, 0x1a, 0x25, 0x28, 0x43, 0x46, 0x4a, 0x4d, 0x51, 0x5a],
  ...[0x88, 0x9e, 0xa0, 0xa3, 0xa8],
];

/** Commands that unit attentions do not touch: REQUEST SENSE, INQUIRY, REPORT LUNS. */
const QUIET = [0x03, 0x12, 0xa0];

/** Puts any command to a logical unit. */
export const raw: Command = {
  name: "scsi raw",
  summary: "Put a command to a logical unit, byte by byte",
  usage: "<cdb hex>",
  words: [1, Infinity],
  options: [
    DEVICE_OPTION,
    LUN_OPTION,
    { name: "in", value: "<bytes>", summary: "room for data from the unit" },
    { name: "out", value: "<file>", summary: "data for the unit" },
    WRITE_OPTION,
  ],
  examples: [
    ["scsi raw 12 00 00 00 24 00 --in 36 --machine simulated", "INQUIRY, as a dump"],
    ["scsi raw 28000000000000000100 --in 512 --machine simulated", "READ(10) of block 0"],
    ["scsi raw 000000000000 --lun 1:0 --machine simulated", "TEST UNIT READY of target 1"],
  ],
  notes: [
    "Data go to the standard output: as a dump on a terminal, byte by byte elsewhere. Status and sense",
    "data are told on the standard error; the exit status is 1 if the status is not GOOD.",
    "Unit attentions, of which there is one after each start, are fetched by TEST UNIT READY before.",
    "The command is put once: if the device must be started anew meanwhile, it is unknown whether it was done.",
    "On this machine (local, vhost-user), commands that are not known to only read need --write.",
  ],
  async run(context) {
    const cdb = cdbOf(context.words);
    const address = lunOf(context);
    const inBytes = bytesOf(context.given.in);
    await using use = await useDevice(context, "scsi");
    const { kernel, device: { client } } = use;
    const harmless = HARMLESS.includes(cdb[0]!) && context.given.out === undefined;
    if (keepsDisks(kernel) && !harmless && context.given.write !== true) {
      throw new CliError(
        EXIT.refused,
        `Cannot put command 0x${
          hex(cdb[0]!, 2)
        } to a unit of this machine: it may change what is there. ` +
          "If it may, add --write",
      );
    }
    const out = await outOf(context, client);
    if (!QUIET.includes(cdb[0]!)) await hearAttentions(client, address);
    const options = { out, inBytes, signal: context.signal };
    const answer = await client.execute(address, cdb, options);
    const good = answer.ended === Status.ok && answer.response === ScsiResponse.ok &&
      answer.status === ScsiStatus.good;
    const error = good ? undefined : new ScsiError(
      `Cannot carry out command 0x${hex(cdb[0]!, 2)}`,
      address,
      answer.ended,
      answer,
    );
    if (context.options.json) {
      printDeviceJson(context, "scsi raw", use, {
        ...address,
        response: answer.response,
        status: answer.status,
        residual: answer.residual,
        data: answer.data.toHex(),
        sense: answer.senseBytes.toHex(),
        error: error ? errorJson(new CliError(failure(error), error.message)) : null,
      });
    } else print(context, answer);
    context.talk(`${formatScsiAddress(address)}: ${error?.message ?? told(answer)}`);
    return error ? failure(error) : EXIT.done;
  },
};

/** Otherwise they would end the user's command. */
async function hearAttentions(client: ScsiClient, address: ScsiAddress): Promise<void> {
  try {
    await client.ready(address);
  } catch (error) {
    // Why it is not ready, the user's command tells.
    if (!(error instanceof ScsiError)) throw error;
  }
}

/** A unit that refuses a command has not broken the protocol. */
function failure(error: ScsiError): ExitCode {
  return error.status === Status.ok ? EXIT.failed : exitCode(error);
}

function told({ status, data, residual }: ScsiAnswer): string {
  return `${scsiStatusText(status)}, ${data.length} bytes read, ${residual} left over`;
}

function print({ io }: Context, { data }: ScsiAnswer): void {
  if (!io.terminal) io.write(data);
  else for (const line of hexDump(data)) io.out(line);
}

function cdbOf(words: readonly string[]): Uint8Array<ArrayBuffer> {
  const text = words.join("");
  if (!/^([0-9a-f]{2})+$/i.test(text)) {
    throw usageError(
      `Cannot read the CDB ${JSON.stringify(words.join(" "))}: wanted pairs of hexadecimal digits`,
    );
  }
  return Uint8Array.fromHex(text);
}

function bytesOf(text: string | true | undefined): number {
  if (text === undefined) return 0;
  if (typeof text === "string" && /^\d{1,9}$/.test(text)) return Number(text);
  throw usageError(`Unknown value ${JSON.stringify(text)} for --in: wanted a number of bytes`);
}

/** The bytes of the file of `--out`. */
async function outOf(context: Context, { dataBytes }: ScsiClient): Promise<Uint8Array> {
  const { out } = context.given;
  if (typeof out !== "string") return new Uint8Array(0);
  using file = await UserFile.open(context, out, "read");
  const bytes = new Uint8Array(dataBytes + 1);
  const length = await file.read(0, bytes);
  if (length <= dataBytes) return bytes.subarray(0, length);
  throw usageError(
    `Cannot use ${out}: it has more than the ${dataBytes} bytes that go along with a command`,
  );
}
