/**
 * The commands about networks, as a user starts them, on a QEMU machine: `net ping`, `net dump`, `net bridge` and `net
 * bench`, against QEMU's own network, and against other programs' idea of ping and of captures.
 *
 * @module
 */

import { checkJson } from "./support/json.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { qemuTest, withoutQemu } from "./support/machine.ts";
import { testWith, withoutPrograms } from "./support/needs.ts";
import { type Ended, program, run, Running } from "./support/program.ts";

/** QEMU's network: 10.0.2.2 and fec0::2 answer, and lend addresses. */
const USER = ["-netdev", "user,id=net"];
const CARD = "virtio-net-pci,netdev=net,romfile=";
const MODERN = ["-device", `${CARD},disable-legacy=on`];

function net(line: string, ...qemu: readonly string[]): Promise<Ended> {
  return run(...program("net", ...line.split(" "), "--machine", "qemu", "--", ...qemu));
}

/** Ways to drive the card. */
const FORMS: readonly (readonly [name: string, options: string, device: string])[] = [
  ["modern", "", `${CARD},disable-legacy=on`],
  ["inline", " --isolation inline", `${CARD},disable-legacy=on`],
  ["packed", "", `${CARD},disable-legacy=on,packed=on`],
  ["transitional", " --legacy", CARD],
];

for (const [name, options, device] of FORMS) {
  qemuTest(`net ping reaches QEMU's gateway by an address that it is lent: ${name}`, async () => {
    const line = `ping 10.0.2.2 --count 3 --interval 0.01${options}`;
    const { code, text, err } = await net(line, ...USER, "-device", device);
    assertEquals(code, 0, text + err);
    assertMatch(text, /^PING 10\.0\.2\.2 \(10\.0\.2\.2\) from 10\.0\.2\.15 : 56\(84\) bytes/);
    assertEquals(text.match(/^64 bytes from 10\.0\.2\.2: icmp_seq=\d ttl=255 time=/gm)?.length, 3);
    assertStringIncludes(text, "\n3 packets transmitted, 3 received, 0% packet loss");
    assertStringIncludes(err, "Address 10.0.2.15, lent by 10.0.2.2 for 86400 seconds");
  });
}

qemuTest(
  "net ping reaches QEMU's router by IPv6, with an address of its prefix and on the link",
  async () => {
    for (
      const [target, source] of [
        ["fec0::2", "fec0::5054:ff:fe12:3456"],
        ["fe80::2", "fe80::5054:ff:fe12:3456"],
      ] as const
    ) {
      const line = `ping ${target} --count 2 --interval 0.01 --json`;
      const { code, text, err } = await net(line, ...USER, ...MODERN);
      assertEquals(code, 0, text + err);
      const { received, source: from, answers } = JSON.parse(text);
      assertEquals([received, from], [2, source]);
      assertEquals(answers.map(({ from, ttl }: { from: string; ttl: number }) => [from, ttl]), [
        [target, 255],
        [target, 255],
      ]);
    }
  },
);

qemuTest("net ping sends as much data as fits into a packet, and no more", async () => {
  const address = "--address 10.0.2.77/24";
  const fits = await net(`ping 10.0.2.2 ${address} --count 1 --size 1472`, ...USER, ...MODERN);
  assertEquals(fits.code, 0, fits.err);
  assertStringIncludes(fits.text, "1480 bytes from 10.0.2.2");
  const long = await net(`ping 10.0.2.2 ${address} --size 1473`, ...USER, ...MODERN);
  assertEquals(long.code, 2);
});

qemuTest("net ping says why the target cannot be reached", async () => {
  const silent = await net("ping 10.0.2.99 --count 1", ...USER, ...MODERN);
  assertEquals(silent.code, 1);
  assertStringIncludes(
    silent.err,
    "error: Cannot reach 10.0.2.99: it does not answer ARP requests",
  );
  const alone = ["-netdev", "hubport,id=net,hubid=0"];
  const none = await net("ping 10.0.2.2", ...alone, ...MODERN);
  assertEquals(none.code, 1);
  assertStringIncludes(none.err, "error: Cannot get an address: no DHCP server answers");
});

/** The other end of a card's cable: each frame behind four bytes of length. */
class Cable implements AsyncDisposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "virtio-cable-" });
  readonly #listener: Deno.UnixListener;
  readonly qemu: readonly string[];

  constructor() {
    const path = `${this.#folder}/cable`;
    this.#listener = Deno.listen({ transport: "unix", path });
    this.qemu = ["-netdev", `stream,id=net,server=off,addr.type=unix,addr.path=${path}`];
  }

  /** Waits for QEMU; then frames can be sent. */
  async plugIn(): Promise<(frame: Uint8Array) => Promise<void>> {
    this.#connection = await this.#listener.accept();
    const writer = this.#connection.writable.getWriter();
    return async (frame) => {
      const bytes = new Uint8Array(4 + frame.length);
      new DataView(bytes.buffer).setUint32(0, frame.length);
      bytes.set(frame, 4);
      await writer.write(bytes);
    };
  }
  #connection: Deno.UnixConn | undefined;

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    try {
      this.#connection?.close();
    } catch {
      // QEMU has ended, and the connection with it.
    }
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** A frame for no station, of some type and length. */
function frame(seed: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length).map((_, i) => seed + i);
  bytes.set([0x52, 0x54, 0, 0, 0, 9, 0x52, 0x54, 0, 0, 0, 8, 0x88, 0xb5]);
  return bytes;
}

const FRAMES = [60, 61, 1000, 1514].map((length, i) => frame(i, length));

/** Sends the frames again and again until the command has ended; when it begins to listen is not known. */
async function feed(cable: Cable, running: Running): Promise<Ended> {
  let over = false;
  const ended = running.ended().finally(() => over = true);
  const send = await cable.plugIn();
  for (let i = 0; !over; i++) {
    try {
      await send(FRAMES[i % FRAMES.length]!);
    } catch {
      break; // QEMU has ended.
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return await ended;
}

const withoutTshark = withoutPrograms("tshark", "capinfos");

testWith(
  withoutQemu ?? withoutTshark,
  "net dump writes what tshark reads, to a file and to a pipe",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      for (const place of ["file", "pipe"] as const) {
        await using cable = new Cable();
        const file = `${folder}/${place}.pcapng`;
        const words = place === "file" ? [file] : [];
        const line = ["net", "dump", ...words, "--count", "8", "--machine", "qemu", "--"];
        await using running = new Running(program(...line, ...cable.qemu, ...MODERN));
        const { code, out, err } = await feed(cable, running);
        assertEquals(code, 0, err);
        assertStringIncludes(err, "8 frames with");
        if (place === "pipe") await Deno.writeFile(file, out);
        const infos = await run("capinfos", "-M", file);
        assertEquals(infos.code, 0, infos.err);
        assertMatch(infos.text, /Number of packets: +8\n/);
        assertMatch(infos.text, /File timestamp precision: +nanoseconds/);
        assertMatch(infos.text, /Name = 0000:00:01\.0\n/);
        assertMatch(infos.text, /Capture application: +virtio for Deno/);
        const frames = await bytesOf(file);
        const start = FRAMES.findIndex((wanted) => wanted.toHex() === frames[0]);
        assert(start >= 0, "the first frame is none of ours");
        const wanted = frames.map((_, i) => FRAMES[(start + i) % FRAMES.length]!.toHex());
        assertEquals(frames, wanted);
        const times =
          (await run("tshark", "-r", file, "-T", "fields", "-e", "frame.time_epoch")).text;
        const now = Date.now() / 1000;
        for (const time of times.trim().split("\n")) {
          assert(
            Math.abs(now - Number(time)) < 60,
            time,
          );
        }
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

/** The bytes of all frames of a capture, as tshark sees them. */
async function bytesOf(file: string): Promise<string[]> {
  const { text, err } = await run("tshark", "-r", file, "-x", "--hexdump", "noascii");
  const frames = text.trim().split(/\n\n+/);
  assert(frames[0] !== "", err);
  return frames.map((frame) => frame.replaceAll(/^[0-9a-f]{4,} |\s/gm, ""));
}

qemuTest(
  "net dump prints lines, keeps less of each frame, and ends when it is interrupted",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      {
        await using cable = new Cable();
        const line = ["net", "dump", "--text", "--count", "4", "--machine", "qemu", "--"];
        await using running = new Running(program(...line, ...cable.qemu, ...MODERN));
        const { code, text } = await feed(cable, running);
        assertEquals(code, 0);
        assertEquals(text.match(/52:54:00:00:00:08 > 52:54:00:00:00:09, length/g)?.length, 4);
        assertStringIncludes(text, "length 1514: type 0x88b5");
      }
      await using cable = new Cable();
      const file = `${folder}/short.pcapng`;
      const line = ["net", "dump", file, "--snap", "20", "--json", "--machine", "qemu", "--"];
      await using running = new Running(program(...line, ...cable.qemu, ...MODERN));
      const send = await cable.plugIn();
      while (((await Deno.stat(file).catch(() => undefined))?.size ?? 0) < 1000) {
        await send(FRAMES[0]!);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      running.interrupt();
      const { code, text, err } = await running.ended();
      assertEquals(code, 130, err);
      const { captured, dropped, bytes } = JSON.parse(text);
      assertEquals([bytes, dropped], [60 * captured, 0]);
      assert(captured > 5);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

/** Why no tap can be made in a network of our own. */
async function withoutTap(): Promise<string | undefined> {
  if (withoutQemu) return withoutQemu;
  const absent = withoutPrograms("unshare", "nsenter", "ip", "ping");
  if (absent) return absent;
  const probe = await run("unshare", "--net", "ip", "tuntap", "add", "probe", "mode", "tap");
  return probe.code === 0 ? undefined : `no tap can be made: ${probe.err.trim()}`;
}

/** An echo over TCP: a server and a client, on one machine or two. */
const ECHO = `
  const [address, role] = Deno.args;
  const writeAll = async (peer, bytes) => {
    for (let done = 0; done < bytes.length;) done += await peer.write(bytes.subarray(done));
  };
  const serve = async () => {
    using listener = Deno.listen({ hostname: "0.0.0.0", port: 7 });
    using peer = await listener.accept();
    const buffer = new Uint8Array(65536);
    for (let got; (got = await peer.read(buffer)) !== null;) {
      await writeAll(peer, buffer.subarray(0, got));
    }
  };
  const connect = async () => {
    using peer = await Deno.connect({ hostname: address, port: 7 });
    const sent = new Uint8Array(1 << 20).map((_, i) => i * 7 + (i >> 8));
    const writing = writeAll(peer, sent).then(() => peer.closeWrite());
    const got = new Uint8Array(sent.length + 1);
    let length = 0;
    for (let more; (more = await peer.read(got.subarray(length))) !== null;) length += more;
    await writing;
    console.log("TCP", length, sent.every((byte, i) => byte === got[i]));
  };
  if (role === "serve") await serve();
  else {
    for (let tries = 50;; tries--) {
      try { await connect(); break } catch (error) { if (tries === 0) throw error }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
`;

/**
 * Begins and ends a person's work in a network of its own while a bridge passes frames. Pings that are given a time
 * (-w) wait for as many answers as they were told, also where these are slow.
 */
const BEGIN = `
ip link set lo up
"$@" & bridge=$!
for i in $(seq 300); do ip -oneline link show card0 2>&1 | grep -q LOWER_UP && break; sleep 0.1; done
`;
const END = `
kill -INT $bridge
wait $bridge
echo "bridge $?"
`;

/** 10.0.2.2 leads to the programs that listen on 127.0.0.1, so that TCP can be tried, too. */
const AT_QEMUS_NETWORK = `${BEGIN}
ip address add 10.0.2.15/24 dev card0
ping -c 3 -i 0.2 -w 20 10.0.2.2
ping -c 2 -i 0.2 -w 20 -s 1472 -M do 10.0.2.2
"$DENO" run --allow-net "$ECHO" 10.0.2.2 serve & server=$!
"$DENO" run --allow-net "$ECHO" 10.0.2.2 connect
wait $server
${END}
ip -oneline link show card0 2>&1
true
`;

/** The driver is killed while a user works: the process that the program started and that is not QEMU. */
const WITHOUT_A_DRIVER = `${BEGIN}
ip address add 10.0.2.15/24 dev card0
ping -c 2 -i 0.2 -w 20 10.0.2.2
for child in $(cat /proc/$bridge/task/*/children); do
  grep -q qemu /proc/$child/cmdline && continue
  kill -KILL $child && echo "killed $child"
done
for i in $(seq 20); do ping -c 1 -W 1 10.0.2.2 > /dev/null && break; done
ping -c 3 -i 0.2 -w 20 10.0.2.2
${END}
true
`;

/** The card's cable ends in a tap of the machine, which leaves checksums and segments to a driver that can. */
const AT_A_TAP = `
unshare --net sleep 60 & person=$!
ip tuntap add cable0 mode tap
ip address add 10.7.0.1/24 dev cable0
ip link set cable0 up
${BEGIN}
ip link set card0 netns $person
in_network="nsenter --net --target $person"
$in_network ip address add 10.7.0.2/24 dev card0
$in_network ip link set card0 up
$in_network ping -c 3 -i 0.2 -w 20 10.7.0.1
"$DENO" run --allow-net "$ECHO" 10.7.0.1 serve & server=$!
$in_network "$DENO" run --allow-net "$ECHO" 10.7.0.1 connect
wait $server
$in_network "$DENO" run --allow-net "$ECHO" 10.7.0.2 serve & server=$!
"$DENO" run --allow-net "$ECHO" 10.7.0.2 connect
wait $server
${END}
kill $person
true
`;

/** Runs a script in a network of its own, with the bridge as its arguments. */
async function inNetwork(script: string, ...bridge: readonly string[]): Promise<Ended> {
  const echo = await Deno.makeTempFile({ suffix: ".mjs" });
  try {
    await Deno.writeTextFile(echo, ECHO);
    const variables = [`DENO=${Deno.execPath()}`, `ECHO=${echo}`];
    const shell = ["unshare", "--net", "env", ...variables, "sh", "-c", script, "sh"];
    return await run(...shell, ...program("net", "bridge", "--tap", "card0", "--json", ...bridge));
  } finally {
    await Deno.remove(echo);
  }
}

/** What the bridge has counted, as it says itself. */
function counted(text: string): Record<"sent" | "received", Record<string, number>> {
  return checkJson(/^\{.*?^\}/ms.exec(text)![0]);
}

const tapObstacle = await withoutTap();
for (const isolation of ["process", "inline"] as const) {
  testWith(
    withoutQemu ?? tapObstacle,
    `net bridge lets ping(8) and TCP through the driver, until it is interrupted: ${isolation}`,
    async () => {
      const { text, err } = await inNetwork(
        AT_QEMUS_NETWORK,
        ...["--isolation", isolation, "--machine", "qemu", "--", ...USER, ...MODERN],
      );
      assertMatch(text, /, 3 received,/, err);
      assertMatch(text, /, 2 received,/, err);
      assertStringIncludes(text, `TCP ${1 << 20} true`, err);
      assertStringIncludes(text, "\nbridge 130\n", err);
      assertStringIncludes(text, 'Device "card0" does not exist');
      const { sent, received } = counted(text);
      for (const { frames, bytes, dropped } of [sent, received]) {
        assertEquals(dropped, 0);
        assert(frames! > 700 && bytes! > 1 << 20, `${frames} frames, ${bytes} bytes`);
      }
    },
  );
}

testWith(
  withoutQemu ?? tapObstacle,
  "net bridge goes on when its driver is killed, and says so #cli:driver_dies",
  async () => {
    const { text, err } = await inNetwork(
      WITHOUT_A_DRIVER,
      ...["--machine", "qemu", "--", ...USER, ...MODERN],
    );
    assertMatch(err, /^0000:\S+ vtnet: starting anew: its process ended by signal 9$/m);
    assertMatch(text, /^killed \d+$/m);
    assertMatch(text, /, 2 received,/, err);
    assertMatch(text, /, 3 received,/, err);
    assertStringIncludes(text, "\nbridge 130\n", err);
  },
);

testWith(
  withoutQemu ?? tapObstacle,
  "net bridge leaves no checksum out, and puts nothing together",
  async () => {
    const tap = ["-netdev", "tap,id=net,ifname=cable0,script=no,downscript=no"];
    // Agreed on, so that the bridge has to switch it off.
    const together = ["--tune", "vtnet.lro_disable=false"];
    const { text, err } = await inNetwork(
      AT_A_TAP,
      ...[...together, "--machine", "qemu", "--", ...tap, ...MODERN],
    );
    assertMatch(text, /, 3 received,/, err);
    assertEquals(text.match(new RegExp(`^TCP ${1 << 20} true$`, "gm"))?.length, 2, text + err);
    assertStringIncludes(text, "\nbridge 130\n", err);
    const { received } = counted(text);
    // While card0 was on its way into the person's network it took none.
    assert(received.dropped! < 20, JSON.stringify(received));
    // What was put together would have been dropped, or would be far fewer frames.
    assert(received.frames! > 1400, JSON.stringify(received));
  },
);

qemuTest("net bench counts what goes from one card to the other, and back", async () => {
  for (const isolation of ["process", "inline"]) {
    const line = `bench --seconds 0.1 --json --isolation ${isolation} --machine qemu`;
    const { code, text, err } = await run(...program("net", ...line.split(" ")));
    assertEquals(code, 0, err);
    const { figures, echo, from, to } = JSON.parse(text);
    assertEquals([from.isolation, from.address, to.address], [
      isolation,
      "0000:00:01.0",
      "0000:00:02.0",
    ]);
    const sizes = figures.map(({ size }: { size: number }) => size);
    assertEquals(sizes, [60, 64, 128, 256, 512, 1024, 1280, 1514]);
    for (const { sent, received, lost, sentPerSecond } of figures) {
      assert(received > 0 && received <= sent, `${received} of ${sent}`);
      assertEquals(lost, sent - received);
      assert(sentPerSecond > 0);
    }
    assert(echo.echoes > 0 && echo.microseconds > 0);
  }
});

qemuTest("net bench counts what is sent where there is no other card", async () => {
  const { code, text, err } = await net("bench --seconds 0.1 --size 64", ...USER, ...MODERN);
  assertEquals(code, 0, err);
  assertMatch(text, /^0000:00:01\.0 to no receiver\n/);
  assertMatch(text, /^ +64 +\d+ +[\d.]+ +- +- +-$/m);
});
