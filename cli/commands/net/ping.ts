import { formatMac } from "../../../classes/network/mod.ts";
import type { Device } from "../../../mod.ts";
import type { Command, Context } from "../../command.ts";
import { CliError, endedByPerson, EXIT, usageError } from "../../exit.ts";
import { printDeviceJson } from "../../json.ts";
import { goneError } from "../../gone.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";
import type { Card } from "../../net/card.ts";
import type { EchoPath } from "../../net/echo_path.ts";
import { ECHO_HEADER } from "../../net/icmp.ts";
import { IPV4_HEADER, maskOf, parseIpv4 } from "../../net/ipv4.ts";
import type { Ipv4Setup } from "../../net/ipv4_setup.ts";
import { IPV6_HEADER, IPV6_LEAST_MTU, parseIpv6 } from "../../net/ipv6.ts";
import type { Ipv6Setup } from "../../net/ipv6_setup.ts";
import { Link } from "../../net/link.ts";
import { joinIpv4, joinIpv6, type Network } from "../../net/network.ts";
import {
  MOST_REQUESTS,
  ping as send,
  type PingAnswer,
  type PingOptions,
  type PingResult,
} from "../../net/ping.ts";
import { roundTrip } from "../../net/round_trip.ts";
import { numberOption } from "../../number_option.ts";
import type { Given } from "../../options.ts";

/** Milliseconds to wait for answers to the last request. */
const WAIT = 1000;
/** Most bytes of a packet that any card sends. */
const MOST_PACKET = 65535;

/** Asks a station whether it is there. */
export const ping: Command = {
  name: "net ping",
  summary: "Send echo requests to a station on the network",
  usage: "<ip>",
  words: [1, 1],
  options: [
    DEVICE_OPTION,
    {
      name: "address",
      value: "<ip/length>",
      summary: "our address and the length of its prefix; else DHCP or a router is asked",
    },
    {
      name: "gateway",
      value: "<ip>",
      summary: "the router of what is not for this network; with --address",
    },
    { name: "count", value: "<number>", summary: "how many requests or frames" },
    { name: "interval", value: "<seconds>", summary: "from one request to the next (1)" },
    { name: "size", value: "<bytes>", summary: "of data in each request (56)" },
  ],
  examples: [
    ["net ping 10.0.2.2 --machine simulated", "a station on a simulated wire; needs nothing"],
    ["net ping 10.0.2.2 --machine qemu", "QEMU's own network has its gateway there"],
    ["net ping 10.0.2.2 --machine qemu --json", "the same for programs"],
    ["net ping fec0::2 --machine qemu", "by IPv6"],
    ["net ping 192.168.1.1 --address 192.168.1.77/24 --count 2", "without DHCP, two requests"],
  ],
  standing: true,
  notes: [
    "The card gets its address by DHCP, for IPv6 from a router, or from --address. What it was lent it gives",
    "back at the end. Nothing of this machine's own network is touched.",
    "",
    "4 requests are sent unless --count says another number. The exit status is 1 if none is answered.",
  ],
  async run(context) {
    const wanted = readCommandLine(context);
    await using inUse = await useDevice(context, "network");
    const { device } = inUse;
    const card: Card = device.client;
    const { address } = device;
    if (!card.linkUp) {
      throw new CliError(EXIT.failed, `Cannot ping: the link of ${address} is down`);
    }
    checkFits(wanted, card.mtu, address);
    await using link = new Link(card, context.signal);
    await using network = await orGone(context, device, link, wanted.join(link));
    const { path, gateway, lease } = network;
    if (lease) {
      const { server, seconds } = lease;
      const time = seconds === undefined ? "" : ` for ${seconds} seconds`;
      context.talk(`Address ${path.source}, lent by ${server}${time}`);
    }
    const { options: { json }, io } = context;
    const { count, interval, size } = wanted.options;
    if (!json) {
      io.out(
        `PING ${path.target} (${path.target}) from ${path.source} : ` +
          `${size}(${size + path.headers}) bytes of data.`,
      );
    }
    const result = await send(link, path, wanted.options, (answer) => {
      if (!json) io.out(answerLine(answer));
    });
    if (json) {
      printDeviceJson(context, "net ping", inUse, {
        mac: formatMac(card.mac),
        source: path.source,
        target: path.target,
        gateway: gateway ?? null,
        lease: lease ? { ...lease, seconds: lease.seconds ?? null } : null,
        count,
        interval: interval / 1000,
        size,
        ...resultJson(result),
      });
    } else for (const line of summaryLines(path, result)) io.out(line);
    if (context.signal.aborted && !endedByPerson(context.signal)) throw context.signal.reason;
    if (link.lost) throw await goneError(context, device);
    return goodAnswers(result).length > 0 ? EXIT.done : EXIT.failed;
  },
};

/** Waits; if the card goes away meanwhile, says why. */
async function orGone<T>(
  context: Context,
  device: Device<"network">,
  link: Link,
  promise: Promise<T>,
): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw link.lost ? await goneError(context, device) : error;
  }
}

/** A station, and what its kind of packets needs. */
interface Target {
  /** Finds the way to it. */
  readonly join: (link: Link) => Promise<Network>;
  /** Bytes of a packet before the data. */
  readonly headers: number;
  /** What the card's packets must be able to have at least. */
  readonly leastMtu: number;
}

interface Wanted extends Target {
  readonly options: PingOptions;
}

function checkFits(
  { headers, leastMtu, options: { size } }: Wanted,
  mtu: number,
  card: string,
): void {
  if (mtu < leastMtu) {
    throw new CliError(
      EXIT.failed,
      `Cannot ping by IPv6: it needs packets of ${leastMtu} bytes, and ${card} sends up to ${mtu}`,
    );
  }
  if (headers + size <= mtu) return;
  throw usageError(
    `Cannot send ${size} bytes of data: with ${headers} bytes of headers they are longer than the ${mtu} bytes of a ` +
      `packet on ${card}. --size ${mtu - headers} is the most`,
  );
}

function readCommandLine(context: Context): Wanted {
  const target = readTarget(context);
  const most = MOST_PACKET - target.headers;
  return {
    ...target,
    options: {
      count: numberOption(context, "count", { usual: 4, least: 1, greatest: MOST_REQUESTS }),
      interval: 1000 *
        numberOption(context, "interval", { usual: 1, least: 0, greatest: 3600, fraction: true }),
      size: numberOption(context, "size", { usual: 56, least: 0, greatest: most }),
      wait: WAIT,
    },
  };
}

function readTarget({ words: [word], given }: Context): Target {
  const ipv4 = parseIpv4(word!);
  const ipv6 = parseIpv6(word!);
  if (ipv4) {
    const setup = readSetup(given, parseIpv4, "10.0.2.15/24");
    const own: Ipv4Setup | undefined = setup && { ...setup, mask: maskOf(setup.prefix) };
    return {
      join: (link) => joinIpv4(link, ipv4, own),
      headers: IPV4_HEADER + ECHO_HEADER,
      leastMtu: IPV4_HEADER + ECHO_HEADER,
    };
  }
  if (ipv6) {
    const setup = readSetup(given, parseIpv6, "fd00::15/64");
    const own: Ipv6Setup | undefined = setup && {
      networks: [setup],
      ...(setup.gateway ? { router: setup.gateway } : {}),
    };
    return {
      join: (link) => joinIpv6(link, ipv6, own),
      headers: IPV6_HEADER + ECHO_HEADER,
      leastMtu: IPV6_LEAST_MTU,
    };
  }
  throw usageError(
    `Cannot read ${JSON.stringify(word)} as an IP address: it looks like 10.0.2.2 or fec0::2`,
  );
}

/** Our address as the user gave it. */
interface Setup {
  readonly address: Uint8Array;
  /** Bits that all on the network have in common. */
  readonly prefix: number;
  readonly gateway?: Uint8Array;
}

function readSetup(
  { address, gateway }: Given,
  parse: (text: string) => Uint8Array | undefined,
  example: string,
): Setup | undefined {
  const via = gateway === undefined ? undefined : parse(String(gateway));
  if (gateway !== undefined && !via) {
    throw usageError(
      `Unknown value ${JSON.stringify(gateway)} for --gateway: wanted an address like ` +
        example.split("/")[0],
    );
  }
  if (address === undefined) {
    if (!via) return undefined;
    throw usageError("Cannot use --gateway without --address: give both or none");
  }
  const [own = "", length = "", ...rest] = String(address).split("/");
  const parsed = parse(own);
  if (!parsed || !/^\d+$/.test(length) || +length > 8 * parsed.length || rest.length > 0) {
    throw usageError(
      `Unknown value ${JSON.stringify(address)} for --address: wanted an address and the length ` +
        `of its prefix, like ${example}`,
    );
  }
  return { address: parsed, prefix: Number(length), ...(via ? { gateway: via } : {}) };
}

/** Answers to different requests, that say that the request got there. */
function goodAnswers({ answers }: PingResult): readonly PingAnswer[] {
  return answers.filter(({ error, duplicate }) => error === undefined && !duplicate);
}

function answerLine({ from, sequence, ttl, milliseconds, ...answer }: PingAnswer): string {
  if (answer.error !== undefined) return `From ${from} icmp_seq=${sequence} ${answer.error}`;
  const length = ECHO_HEADER + answer.data!.length;
  const marks = (answer.duplicate ? " (DUP!)" : "") + (answer.damaged ? " (wrong data!)" : "");
  return `${length} bytes from ${from}: icmp_seq=${sequence} ttl=${ttl} ` +
    `time=${milliseconds.toFixed(3)} ms${marks}`;
}

function summaryLines(path: EchoPath, result: PingResult): readonly string[] {
  const { transmitted, answers, milliseconds } = result;
  const received = goodAnswers(result).length;
  const duplicates = answers.filter(({ duplicate }) => duplicate).length;
  const errors = answers.filter(({ error }) => error !== undefined).length;
  const lost = transmitted === 0 ? 0 : 100 * (transmitted - received) / transmitted;
  const times = roundTrip(goodAnswers(result).map((answer) => answer.milliseconds));
  return [
    "",
    `--- ${path.target} ping statistics ---`,
    [
      `${transmitted} packets transmitted`,
      `${received} received`,
      ...(duplicates > 0 ? [`+${duplicates} duplicates`] : []),
      ...(errors > 0 ? [`+${errors} errors`] : []),
      `${Number(lost.toPrecision(6))}% packet loss`,
      `time ${Math.round(milliseconds)}ms`,
    ].join(", "),
    ...(times
      ? [
        "rtt min/avg/max/mdev = " +
        [times.minimum, times.average, times.maximum, times.deviation]
          .map((time) => time.toFixed(3)).join("/") +
        " ms",
      ]
      : []),
  ];
}

function resultJson(result: PingResult): object {
  const { transmitted, answers, milliseconds } = result;
  const good = goodAnswers(result);
  return {
    transmitted,
    received: good.length,
    milliseconds,
    answers: answers.map(({ from, sequence, ttl, milliseconds, duplicate, damaged, error }) => ({
      from,
      sequence,
      ttl,
      milliseconds,
      duplicate,
      damaged,
      error: error ?? null,
    })),
    roundTrip: roundTrip(good.map(({ milliseconds }) => milliseconds)) ?? null,
  };
}
