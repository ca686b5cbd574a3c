import { count } from "../../../core/class/mod.ts";
import { INTERFACE_NAME, isInterfaceName } from "../../../core/linux/mod.ts";
import type { Command, Context } from "../../command.ts";
import { endedByPerson, EXIT, messageOf, usageError } from "../../exit.ts";
import { printDeviceJson } from "../../json.ts";
import { goneError } from "../../gone.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";
import { bridge as pass, type Passed } from "../../net/bridge.ts";
import type { Card } from "../../net/card.ts";
import { tapPort } from "../../net/tap_port.ts";
import { hearEverything } from "./hear_everything.ts";

/** Lets programs of this machine use the card. */
export const bridge: Command = {
  name: "net bridge",
  summary: "Pass frames between the card and a tap interface of this machine",
  usage: "",
  words: [0, 0],
  options: [
    DEVICE_OPTION,
    {
      name: "tap",
      value: "<name>",
      summary: "the interface, made if it is not there (tap%d: the first free number)",
    },
  ],
  examples: [
    ["net bridge --tap card0", "then: ip address add 10.0.2.15/24 dev card0; ping 10.0.2.2"],
    ["net bridge --tap card0 --machine qemu", "the same with the network inside QEMU"],
  ],
  standing: true,
  notes: [
    "Goes on until Ctrl-C (SIGINT), then says how much went both ways. The interface is brought up, its MTU is that",
    "of the card; addresses and routes are yours to set. Making it needs CAP_NET_ADMIN and /dev/net/tun. It",
    "goes away at the end, unless it was made persistent (ip tuntap add <name> mode tap).",
    "",
    "The card hears what is for others, since the interface has a hardware address of its own.",
  ],
  async run(context) {
    const { given, options, signal } = context;
    const name = tapName(given.tap ?? "tap%d");
    await using inUse = await useDevice(context, "network");
    const { device } = inUse;
    const { address } = device;
    const card: Card = device.client;
    await using tap = tapPort(name, card.mtu);
    await hearEverything(context, card);
    await keepApart(context, card);
    context.talk(`Passing frames between ${address} and ${tap.name} until Ctrl-C`);
    const { sent, received, gone } = await pass(card, tap, signal);
    if (options.json) {
      printDeviceJson(context, "net bridge", inUse, { tap: tap.name, sent, received });
    } else {
      context.io.out(`${tap.name} to ${address}: ${line(sent)}`);
      context.io.out(`${address} to ${tap.name}: ${line(received)}`);
    }
    if (gone) throw await goneError(context, device);
    if (!endedByPerson(signal)) signal.throwIfAborted();
    return EXIT.done;
  },
};

function tapName(name: string | true): string {
  if (typeof name === "string" && isInterfaceName(name)) return name;
  throw usageError(
    `Unknown value ${
      JSON.stringify(name)
    } for --tap: wanted the name of an interface, ${INTERFACE_NAME}`,
  );
}

/** What a device makes one frame of, out of several, is too long for a tap. */
async function keepApart(context: Context, card: Card): Promise<void> {
  const { checksum, ...together } = card.offloads.receive;
  if (!Object.values(together).includes(true)) return;
  try {
    await context.until(card.setOffloads({ checksum }));
  } catch (error) {
    context.signal.throwIfAborted();
    context.talk(
      `Frames that the device puts together are dropped: ${messageOf(error)}. ` +
        `With --tune vtnet.lro_disable=true it puts none together`,
    );
  }
}

function line({ frames, bytes, dropped }: Passed): string {
  return `${count(frames, "frame")}, ${count(bytes, "byte")}, ${dropped} dropped`;
}
