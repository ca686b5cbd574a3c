import { count } from "../../../core/class/mod.ts";
import { poll, POLLOUT, write } from "../../../core/linux/mod.ts";
import deno from "../../../deno.json" with { type: "json" };
import type { Command, Context } from "../../command.ts";
import { CliError, endedByPerson, EXIT, usageError } from "../../exit.ts";
import { UserFile } from "../../file.ts";
import { printDeviceJson } from "../../json.ts";
import { goneError } from "../../gone.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";
import {
  capture,
  type CaptureLimits,
  captureSink,
  type Sink,
  textSink,
  type Write,
} from "../../net/capture.ts";
import { Caller } from "../../net/caller.ts";
import type { Card } from "../../net/card.ts";
import { numberOption } from "../../number_option.ts";
import { hearEverything } from "./hear_everything.ts";

/** As much as tools like this keep of a frame if the user does not say otherwise: all. */
const SNAP_LENGTH = 262144;

/** Keeps what comes in from the network. */
export const dump: Command = {
  name: "net dump",
  summary: "Show frames as they come in, or write them to a capture file",
  usage: "[file]",
  words: [0, 1],
  options: [
    DEVICE_OPTION,
    { name: "count", value: "<number>", summary: "how many requests or frames" },
    { name: "seconds", value: "<seconds>", summary: "end after that" },
    { name: "snap", value: "<bytes>", summary: "keep no more of each frame" },
    { name: "text", summary: "lines of text, also where no terminal is" },
    { name: "no-promiscuous", summary: "only frames that are for this card" },
  ],
  examples: [
    ["net dump --count 4 --text --machine simulated", "a line for each frame; needs nothing"],
    ["net dump --machine qemu", "a line of text for each frame, until SIGINT"],
    ["net dump capture.pcapng --count 10", "for Wireshark and its like"],
    ["net dump --device 00:06.0 | tshark -r -", "the same as it happens"],
  ],
  standing: true,
  notes: [
    "A capture is in the pcapng format, with times in nanoseconds and, at its end, how many frames came in",
    "and how many were dropped. Without a file it goes to the standard output, unless that is a terminal,",
    "where a line of text stands for each frame.",
    "",
    "On a simulated machine the station at the other end of the wire is called meanwhile, so that it answers.",
    "",
    "The card is told to hear what is for others, too, where the device can do that.",
  ],
  async run(context) {
    const { given, options, io, words: [word], signal } = context;
    const file = word === "-" ? undefined : word;
    const text = word === undefined && (given.text === true || io.terminal);
    if (word !== undefined && given.text === true) {
      throw usageError("Cannot write text to a capture file: leave out --text or the file");
    }
    if (options.json && file === undefined) {
      throw usageError(
        "Cannot print JSON and frames to the same place: name a file for the frames",
      );
    }
    const limits = readLimits(context);
    await using inUse = await useDevice(context, "network");
    const { device } = inUse;
    const { address } = device;
    const card: Card = device.client;
    using output = file === undefined ? undefined : await fileOutput(context, file);
    const put: Write = output?.write ?? ((bytes) => io.write(bytes));
    const sink = text ? textSink(put) : captureSink({
      application: `virtio for Deno ${deno.version}`,
      name: address,
      description: `VirtIO network card at ${address}`,
      mac: card.mac,
      ...(card.speed === undefined ? {} : { speed: card.speed * 1e6 }),
      snapLength: limits.snapLength,
    }, put);
    if (given["no-promiscuous"] !== true) await hearEverything(context, card);
    using caller = inUse.kernel.machine.kind === "simulated" ? new Caller(card) : undefined;
    if (caller) context.talk("Nothing else speaks on a simulated wire: calling the station there");
    const { gone, ...figures } = await capture(card, heard(sink, caller), limits, signal);
    const { captured, dropped, bytes } = figures;
    if (options.json) printDeviceJson(context, "net dump", inUse, { file, ...figures });
    context.talk(
      `${count(captured, "frame")} with ${count(bytes, "byte")} captured, ${dropped} dropped`,
    );
    if (signal.aborted && !endedByPerson(signal)) throw signal.reason;
    if (gone) throw await goneError(context, device);
    return EXIT.done;
  },
};

/** Lets a caller hear the frames, too. */
function heard(sink: Sink, caller: Caller | undefined): Sink {
  if (!caller) return sink;
  return {
    ...sink,
    frame(frame, time) {
      caller.hear(frame.bytes);
      return sink.frame(frame, time);
    },
  };
}

function readLimits(context: Context): CaptureLimits & { readonly snapLength: number } {
  const { given } = context;
  const time = { usual: 0, least: 0.001, greatest: 2_000_000, fraction: true };
  const most = { usual: SNAP_LENGTH, least: 1, greatest: SNAP_LENGTH };
  return {
    count: numberOption(context, "count", { usual: Infinity, least: 1, greatest: Infinity }),
    time: given.seconds === undefined ? undefined : 1000 * numberOption(context, "seconds", time),
    snapLength: numberOption(context, "snap", most),
  };
}

interface FileOutput extends Disposable {
  readonly write: Write;
}

/** A reader that takes nothing for so long takes nothing any more, in milliseconds. */
const STUCK = 10_000;

async function fileOutput(context: Context, path: string): Promise<FileOutput> {
  const file = await UserFile.open(context, path, "write");
  const room = Int32Array.of(file.fd, POLLOUT);
  return {
    write(bytes) {
      for (let rest = bytes; rest.length > 0;) {
        const put = write(file.fd, rest);
        if (put >= 0) rest = rest.subarray(put);
        else if (poll(room, 1, STUCK) === 0) {
          throw new CliError(EXIT.failed, `Cannot write ${path}: its reader takes nothing`);
        }
      }
      return true;
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}
