import { FRAME_HEADER } from "../../../classes/network/mod.ts";
import { round } from "../../../core/class/mod.ts";
import type { Device } from "../../../mod.ts";
import { delay } from "@std/async";
import type { Command, Context } from "../../command.ts";
import { EXIT, usageError } from "../../exit.ts";
import { inUseJson, machineJson, printJson } from "../../json.ts";
import {
  attach,
  attachOne,
  DEVICE_OPTION,
  findNode,
  isDrivable,
  openKernel,
} from "../../kernel.ts";
import { benchEcho, type BenchFigure, benchFrames, type EchoFigure } from "../../net/bench.ts";
import { numberOption } from "../../number_option.ts";
import { Progress } from "../../progress.ts";
import type { Kernel } from "../../system.ts";

/** Bytes of frames, from the shortest with its checksum left out to the longest of a usual network (RFC 2544, 9.1). */
const SIZES = [60, 64, 128, 256, 512, 1024, 1280, 1514];

/** The longest frame of any card. */
const MOST_FRAME = 65535 + FRAME_HEADER;

/** How long everything runs before it is measured, in milliseconds. */
const WARM_UP = 200;

/** Two cards on one wire: all that is between them is QEMU. */
const TWO_CARDS = {
  arguments: [
    ...["-netdev", "hubport,id=port0,hubid=0", "-netdev", "hubport,id=port1,hubid=0"],
    ...["-device", "virtio-net-pci,netdev=port0,mac=52:54:00:00:00:01,romfile="],
    ...["-device", "virtio-net-pci,netdev=port1,mac=52:54:00:00:00:02,romfile="],
  ],
};

/** Measures how fast frames go. */
export const bench: Command = {
  name: "net bench",
  summary: "Measure how many frames a second a card sends and another receives",
  usage: "",
  words: [0, 0],
  options: [
    DEVICE_OPTION,
    {
      name: "to",
      value: "<address>",
      summary: "the card that receives; else another one of the machine, if there is one",
    },
    { name: "seconds", value: "<seconds>", summary: "of each measurement, or of all (1)" },
    { name: "size", value: "<bytes>", summary: "only frames or data of this size" },
  ],
  examples: [
    ["net bench --machine qemu", "from one card to another, with QEMU between them"],
    ["net bench --machine qemu --isolation inline --size 64 --json", "without the other process"],
    ["net bench --device 00:03.0 --to 00:04.0", "two cards of this machine on one network"],
  ],
  standing: true,
  notes: [
    "Frames of 60 to 1514 bytes are sent as fast as the device takes them, without a copy. They are addressed",
    "to the receiving card, or to the sender itself where there is no other card: then it is only counted what",
    "was sent. Their type, 0x88b5, is for experiments; no station answers. Gbit/s counts the bytes of frames.",
    "",
    "With two cards it is also measured how long one frame takes there and back.",
  ],
  async run(context) {
    const seconds = numberOption(context, "seconds", {
      usual: 1,
      least: 0.01,
      greatest: 3600,
      fraction: true,
    });
    const one = numberOption(context, "size", {
      usual: 0,
      least: FRAME_HEADER,
      greatest: MOST_FRAME,
    });
    await using kernel = await openKernel(context, "local", TWO_CARDS);
    await using sender = await attachOne(context, kernel, "network");
    await using receiver = await attachReceiver(context, kernel, sender);
    const [from, to] = [sender.client, receiver?.client];
    const most = Math.min(from.mtu, to?.mtu ?? Infinity) + FRAME_HEADER;
    if (one > most) {
      throw usageError(`Cannot send frames of ${one} bytes: they may have ${most} here`);
    }
    const sizes = one === 0 ? SIZES.filter((size) => size <= most) : [one];
    const { options: { json }, io } = context;
    const parts = sizes.length + (to ? 1 : 0);
    using progress = new Progress(context, "Measuring", WARM_UP + 1000 * seconds * parts);
    const say = (line: string) => {
      progress.hide();
      if (!json) io.out(line);
    };
    say(`${sender.address} to ${receiver?.address ?? "no receiver"}`);
    say(HEADING);
    const start = performance.now();
    let now = sizes[0]!;
    const pause = async () => {
      progress.show(performance.now() - start, `frames of ${now} bytes`);
      await breathe(context);
    };
    await benchFrames(from, to, sizes[0]!, WARM_UP, pause);
    const figures: BenchFigure[] = [];
    for (const size of sizes) {
      now = size;
      const figure = await benchFrames(from, to, size, 1000 * seconds, pause);
      figures.push(figure);
      say(figureLine(figure));
    }
    const echo = to && await benchEcho(from, to, sizes[0]!, 1000 * seconds, pause);
    if (echo) say(echoLine(echo));
    if (json) {
      printJson(context, "net bench", {
        machine: machineJson(kernel.machine),
        from: inUseJson(context, kernel, sender),
        to: receiver ? inUseJson(context, kernel, receiver) : null,
        figures: figures.map(figureJson),
        echo: echo ? { size: echo.size, echoes: echo.echoes, microseconds: echoTime(echo) } : null,
      });
    }
    return EXIT.done;
  },
};

async function attachReceiver(
  context: Context,
  kernel: Kernel,
  sender: Device<"network">,
): Promise<Device<"network"> | undefined> {
  const { to } = context.given;
  const isCard = ({ manifest }: Kernel["nodes"][number]) => manifest?.class === "network";
  const node = to === undefined
    ? kernel.nodes.find((candidate) =>
      isCard(candidate) && isDrivable(candidate) && candidate.function.address !== sender.address
    )
    : findNode(kernel, String(to));
  if (!node) return undefined;
  if (!isCard(node) || node.function.address === sender.address) {
    throw usageError(`Cannot receive with ${to}: it is the sender, or no network card of ours`);
  }
  return await attach(context, kernel, node) as unknown as Device<"network">;
}

/** The measurements block this thread: between them signals and deadlines have their turn. */
async function breathe({ signal }: Context): Promise<void> {
  await delay(0);
  signal.throwIfAborted();
}

/** What the figures are, per second. */
function rates({ size, milliseconds, sent, received }: BenchFigure) {
  const perSecond = (frames: number) => Math.round(1000 * frames / milliseconds);
  const gigabits = (frames: number) => round(8 * size * frames / milliseconds / 1e6);
  return {
    sent: { frames: perSecond(sent), gigabits: gigabits(sent) },
    received: received === undefined
      ? undefined
      : { frames: perSecond(received), gigabits: gigabits(received) },
    lost: received === undefined ? undefined : sent - received,
  };
}

function row(...cells: readonly string[]): string {
  const widths = [5, 11, 8, 11, 8, 9];
  return cells.map((cell, i) => cell.padStart(widths[i]!)).join("  ");
}

const HEADING = row("bytes", "sent/s", "Gbit/s", "received/s", "Gbit/s", "lost");

function figureLine(figure: BenchFigure): string {
  const { sent, received, lost } = rates(figure);
  const cell = (value: number | undefined) => value === undefined ? "-" : String(value);
  return row(
    ...[String(figure.size), cell(sent.frames), cell(sent.gigabits)],
    ...[cell(received?.frames), cell(received?.gigabits), cell(lost)],
  );
}

function echoTime({ echoes, milliseconds }: EchoFigure): number | null {
  return echoes === 0 ? null : round(1000 * milliseconds / echoes);
}

function echoLine(echo: EchoFigure): string {
  const time = echoTime(echo);
  const result = time === null ? "none came back" : `${time} µs on average, ${echo.echoes} of them`;
  return `${echo.size} bytes there and back: ${result}`;
}

function figureJson(figure: BenchFigure): object {
  const { sent, received, lost } = rates(figure);
  return {
    ...figure,
    received: figure.received ?? null,
    sentPerSecond: sent.frames,
    sentGigabits: sent.gigabits,
    receivedPerSecond: received?.frames ?? null,
    receivedGigabits: received?.gigabits ?? null,
    lost: lost ?? null,
  };
}
