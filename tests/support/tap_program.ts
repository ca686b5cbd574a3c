/**
 * A program for a network namespace of its own: a QEMU with a tap, whose other end is the kernel of this machine. It
 * prints what it saw, as JSON.
 *
 * @module
 */

import type { Frame, TransmitOffload } from "../../classes/network/mod.ts";
import { createSocket, type Socket } from "node:dgram";
import { internetChecksum } from "../../classes/network/internet_checksum.ts";
import { parseMac } from "../../classes/network/protocol.ts";
import type { NetClient } from "../../classes/network/client.ts";
import { DRIVERS } from "../../drivers.ts";
import { type Device, openKernel, type OpenOptions } from "../../mod.ts";
import { hashFrame } from "../../plugins/vtnet/toeplitz.ts";
import { CARD, within } from "./net.ts";

const KERNEL = [10, 7, 7, 1], OWN = [10, 7, 7, 2];
const KERNEL_MAC = "02:00:00:00:00:01";
const ETHER = 14, IP = 20, UDP = 8, TCP = 20;
const UDP_PROTOCOL = 17, TCP_PROTOCOL = 6;

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args }).outputSync();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Opens the card on a tap with so many queues. */
async function open(program: string, card: string, queues: number, options: OpenOptions) {
  const kernel = await openKernel({
    machine: "qemu",
    qemu: {
      program,
      arguments: [
        ...["-netdev", `tap,id=tap,ifname=vt0,script=no,downscript=no,queues=${queues}`],
        ...["-device", `virtio-net-pci,netdev=tap,mac=${CARD},romfile=${card}`],
      ],
    },
    drivers: DRIVERS,
    ...options,
  });
  ip("link", "set", "vt0", "address", KERNEL_MAC);
  ip("addr", "add", "10.7.7.1/24", "dev", "vt0");
  ip("neigh", "add", "10.7.7.2", "lladdr", CARD, "dev", "vt0");
  ip("link", "set", "vt0", "up");
  const device = await kernel.attachFirst("network");
  return { kernel, device, client: device.client, mac: parseMac(KERNEL_MAC)! };
}

/** A frame with IPv4 and this payload: header and data of TCP or UDP, whose checksum is left open. */
function packet(
  to: Uint8Array,
  protocol: number,
  payload: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(ETHER + IP + payload.length);
  const view = new DataView(frame.buffer);
  frame.set(to);
  frame.set(parseMac(CARD)!, 6);
  view.setUint16(12, 0x0800);
  frame.set([0x45, 0], ETHER);
  view.setUint16(ETHER + 2, IP + payload.length);
  frame.set([64, protocol], ETHER + 8);
  frame.set([...OWN, ...KERNEL], ETHER + 12);
  view.setUint16(ETHER + 10, internetChecksum(frame, ETHER, ETHER + IP));
  frame.set(payload, ETHER + IP);
  // The sum of the pseudo header, not its complement (virtio 1.4, 5.1.9.2).
  const at = ETHER + IP + (protocol === UDP_PROTOCOL ? 6 : 16);
  const sum = internetChecksum(frame, ETHER + 12, ETHER + IP, protocol + payload.length);
  view.setUint16(at, ~sum & 0xffff);
  return frame;
}

function udp(port: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(UDP + data.length);
  new DataView(bytes.buffer).setUint32(0, 4000 * 65536 + port);
  new DataView(bytes.buffer).setUint16(4, bytes.length);
  bytes.set(data, UDP);
  return bytes;
}

function bind(): Promise<Socket> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => socket.bind(0, KERNEL.join("."), () => resolve(socket)));
}

/** Whether a checksum of UDP or TCP over IPv4 is right. */
function isSummed(frame: Uint8Array): boolean {
  const length = frame.length - ETHER - IP;
  const pseudo = internetChecksum(frame, ETHER + 12, ETHER + IP, frame[ETHER + 9]! + length);
  return internetChecksum(frame, ETHER + IP, frame.length, ~pseudo & 0xffff) === 0;
}

const UDP_OFFLOAD: TransmitOffload = { checksum: { start: ETHER + IP, offset: 6 } };

/** Frames to the kernel with a checksum that the device fills in, and one with none. */
async function transmitChecksum(client: NetClient, mac: Uint8Array) {
  const socket = await bind();
  const got: string[] = [];
  const three = new Promise<void>((resolve) =>
    socket.on("message", (message) => {
      if (got.push(message.toString()) === 3) resolve();
    })
  );
  const send = (text: string, offload?: TransmitOffload) => {
    const data = udp(socket.address().port, new TextEncoder().encode(text));
    return client.send(packet(mac, UDP_PROTOCOL, data), offload);
  };
  await send("one", UDP_OFFLOAD);
  await send("without");
  await send("two", UDP_OFFLOAD);
  await send("three", UDP_OFFLOAD);
  await within("a datagram", three);
  socket.close();
  return got;
}

/** Frames from the kernel. */
async function receiveChecksum(client: NetClient, port = 4001): Promise<Frame> {
  const socket = await bind();
  using frames = client.frames();
  socket.send("hello from the kernel", port, OWN.join("."));
  for (;;) {
    const { value } = await within("a frame", frames.next());
    if (value!.bytes[ETHER + 9] !== UDP_PROTOCOL || value!.bytes[12] !== 8) continue;
    socket.close();
    return value!;
  }
}

/** Just enough TCP to say something and to listen. */
class Connection {
  readonly #client: NetClient;
  readonly #mac: Uint8Array;
  readonly #port: number;
  #sequence = 1000;
  #acknowledge = 0;

  constructor(client: NetClient, mac: Uint8Array, port: number) {
    this.#client = client;
    this.#mac = mac;
    this.#port = port;
  }

  segment(flags: number, data = new Uint8Array(0)): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(TCP + data.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, 5000);
    view.setUint16(2, this.#port);
    view.setUint32(4, this.#sequence);
    view.setUint32(8, this.#acknowledge);
    bytes.set([0x50, flags], 12);
    view.setUint16(14, 65535);
    bytes.set(data, TCP);
    return packet(this.#mac, TCP_PROTOCOL, bytes);
  }

  async open(frames: AsyncIterableIterator<Frame>): Promise<void> {
    await this.#client.send(this.segment(2), TCP_OFFLOAD);
    this.#sequence++;
    const answer = await next(frames, ({ bytes }) => (bytes[ETHER + IP + 13]! & 0x12) === 0x12);
    this.#acknowledge = new DataView(answer.bytes.buffer).getUint32(ETHER + IP + 4) + 1;
    await this.#client.send(this.segment(0x10), TCP_OFFLOAD);
  }

  /** Sends more than fits a frame, as one. */
  async say(data: Uint8Array<ArrayBuffer>, size: number): Promise<void> {
    await this.#client.send(this.segment(0x18, data), {
      ...TCP_OFFLOAD,
      segmentation: { type: "tcp4", size, headers: ETHER + IP + TCP },
    });
    this.#sequence += data.length;
  }
}

const TCP_OFFLOAD: TransmitOffload = { checksum: { start: ETHER + IP, offset: 16 } };

async function next(
  frames: AsyncIterableIterator<Frame>,
  wanted: (frame: Frame) => boolean,
): Promise<Frame> {
  for (;;) {
    const { value } = await within("a segment", frames.next());
    if (value.bytes[12] === 8 && value.bytes[ETHER + 9] === TCP_PROTOCOL && wanted(value)) {
      return value;
    }
  }
}

const SAID = 20_000, HEARD = 12_000;

/** A frame of 20 000 bytes that the device cuts, and one of many thousand that the kernel did not cut. */
async function segments(client: NetClient, mac: Uint8Array) {
  const listener = Deno.listen({ hostname: KERNEL.join("."), port: 0 });
  const accepting = listener.accept();
  using frames = client.frames();
  const connection = new Connection(client, mac, (listener.addr as Deno.NetAddr).port);
  await connection.open(frames);
  const peer = await within("a connection", accepting);
  const said = Uint8Array.from({ length: SAID }, (_, i) => i * 7);
  await connection.say(said, 1400);
  const heard = new Uint8Array(SAID);
  for (let at = 0; at < SAID;) at += await within("data", peer.read(heard.subarray(at))) ?? SAID;
  await peer.write(said.subarray(0, HEARD));
  const large = await next(frames, ({ segmentation }) => segmentation !== undefined);
  peer.close();
  listener.close();
  return {
    fragments: await fragments(client, mac),
    arrived: heard.every((byte, i) => byte === said[i]),
    length: large.bytes.length,
    checksum: large.checksum,
    segmentation: large.segmentation ?? null,
    summed: isSummed(large.bytes),
  };
}

/** A datagram of 5000 bytes that the device cuts into fragments: how much of it arrives. */
async function fragments(client: NetClient, mac: Uint8Array): Promise<number> {
  const socket = await bind();
  const came = new Promise<number>((resolve) =>
    socket.on("message", ({ length }) => resolve(length))
  );
  await client.send(packet(mac, UDP_PROTOCOL, udp(socket.address().port, new Uint8Array(5000))), {
    ...UDP_OFFLOAD,
    segmentation: { type: "udpFragments", size: 1480, headers: ETHER + IP + UDP },
  });
  const length = await within("a datagram", came);
  socket.close();
  return length;
}

/** A frame of three datagrams that the device cuts: their lengths. */
async function datagrams(client: NetClient, mac: Uint8Array): Promise<number[]> {
  const socket = await bind();
  const lengths: number[] = [];
  const three = new Promise<void>((resolve) =>
    socket.on("message", ({ length }) => {
      if (lengths.push(length) === 3) resolve();
    })
  );
  await client.send(packet(mac, UDP_PROTOCOL, udp(socket.address().port, new Uint8Array(3100))), {
    ...UDP_OFFLOAD,
    segmentation: { type: "udp", size: 1200, headers: ETHER + IP + UDP },
  });
  await within("three datagrams", three);
  socket.close();
  return lengths;
}

async function offloads(client: NetClient) {
  const counted = async () => (await receiveChecksum(client)).checksum;
  const before = await counted();
  await client.setOffloads({});
  const off = await receiveChecksum(client);
  await client.setOffloads({ checksum: true });
  return { before, off: off.checksum, offSummed: isSummed(off.bytes), after: await counted() };
}

async function queues(device: Device<"network">, mac: Uint8Array) {
  const { client } = device;
  await client.steering.setQueuePairs(2);
  const got = await transmitChecksum(client, mac);
  for (let i = 0; i < 20; i++) await transmitChecksum(client, mac);
  const { statistics } = await device.describe();
  await client.steering.setQueuePairs(1);
  await transmitChecksum(client, mac);
  return {
    pairs: client.steering.queuePairs,
    got,
    sent: [statistics["txq0.opackets"]! > 0, statistics["txq1.opackets"]! > 0],
    one: (await transmitChecksum(client, mac)).length,
  };
}

async function hashes(client: NetClient) {
  const key = crypto.getRandomValues(new Uint8Array(40));
  await client.steering.setRss({
    types: client.steering.hashes.types & 0x3f,
    key,
    table: [1, 1, 1, 1],
  });
  const frame = await receiveChecksum(client);
  const wanted = hashFrame(frame.bytes, client.steering.hashes.types & 0x3f, key);
  return { pair: frame.pair, hash: frame.hash ?? null, wanted: wanted.value };
}

if (import.meta.main) {
  const [program, scenario, isolation] = Deno.args as [string, string, "process" | "inline"];
  const card = scenario === "hashes" ? ",mq=on,rss=on,hash=on,vectors=6" : ",mq=on,vectors=6";
  const tunables = { "vtnet.lro_disable": !["segments", "datagrams"].includes(scenario) };
  const { kernel, device, client, mac } = await open(program, card, 2, { isolation, tunables });
  await using _kernel = kernel;
  const { list } = (await device.describe()).features;
  const seen = scenario === "checksums"
    ? {
      got: await transmitChecksum(client, mac),
      received: await receiveChecksum(client).then((frame) => ({
        checksum: frame.checksum,
        summed: isSummed(frame.bytes),
      })),
      counted: (await device.describe()).statistics,
    }
    : scenario === "segments"
    ? await segments(client, mac)
    : scenario === "datagrams"
    ? await datagrams(client, mac)
    : scenario === "offloads"
    ? await offloads(client)
    : scenario === "queues"
    ? await queues(device, mac)
    : await hashes(client);
  const accepted = list.filter((feature) => feature.accepted).map(({ name }) => name);
  console.log(JSON.stringify({ seen, accepted }));
}
