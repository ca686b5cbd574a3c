/**
 * Commands on devices that other programs serve: a disk of qemu-storage-daemon, and a network card of DPDK.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  Folder,
  listens,
  StorageDaemon,
  Testpmd,
  withoutDaemon,
  withoutTestpmd,
} from "./support/back_ends.ts";
import { output } from "./support/nbd.ts";
import { testWith, withoutPrograms } from "./support/needs.ts";
import { type Ended, program, run, Running } from "./support/program.ts";

const BYTES = 1 << 22;
const PART = 65536;
const AT = 1 << 20;

/** A command line for one device. */
function on(device: string): (line: string) => string[] {
  return (line) => program(...line.split(" "), "--machine", "vhost-user", "--", device);
}

function ends({ code, err, text }: Ended, wanted: number, sentence: RegExp): void {
  assertEquals(code, wanted, err);
  assertMatch(text + err, sentence);
}

async function walkDisk(): Promise<void> {
  using folder = new Folder();
  const of = (name: string) => folder.of(name);
  await output("qemu-img", "create", "-q", "-f", "qcow2", of("image"), `${BYTES}`);
  const content = crypto.getRandomValues(new Uint8Array(PART));
  Deno.writeFileSync(of("content"), content);
  const wanted = new Uint8Array(BYTES);
  wanted.set(content, AT);
  {
    const disk = `driver=qcow2,file.driver=file,file.filename=${of("image")}`;
    await using _daemon = await StorageDaemon.start({ socket: of("socket"), disk });
    const line = on(`blk=${of("socket")}`);
    const does = (words: string) => run(...line(words));
    ends(await does("blk info"), 0, new RegExp(`capacity +${BYTES} bytes`));
    ends(await does("check"), 0, /blk passed: .*only read/);
    // What is there counts, and stays unless the user says otherwise.
    const write = `blk write ${of("content")} --offset ${AT}`;
    for (const words of [write, "blk bench --rw write"]) {
      ends(await does(words), 4, /add --write/);
    }
    const own = "conform device 00:01.0 --only block.write";
    const { text } = await does(own);
    assert(!/conforms: block\.write /.test(text), text);
    ends(await does(`${write} --write`), 0, /65536 bytes/);
    ends(await does(`${own} --write`), 0, /conforms: block\.write /);
    const read = await does(`blk read --offset ${AT} --length ${PART}`);
    assertEquals(read.out, content, read.err);
    ends(await does("blk bench --runtime 0.1"), 0, /requests\/s/);
    ends(await does(`blk copy disk ${of("copy")}`), 0, /read back and compared/);
    assertEquals(Deno.readFileSync(of("copy")), wanted);
    await using server = new Running(line(`blk serve --nbd ${of("nbd")} --write`));
    await listens(of("nbd"));
    const uri = `nbd+unix:///?socket=${of("nbd")}`;
    await output("qemu-io", "-f", "raw", "-c", "write -P 7 8192 4096", uri);
    wanted.fill(7, 8192, 8192 + 4096);
    await output("qemu-img", "convert", "-f", "raw", "-O", "raw", uri, of("served"));
    assertEquals(Deno.readFileSync(of("served")), wanted);
    server.interrupt();
    ends(await server.ended(), 130, /Serving 0000:00:01.0/);
    ends(await does(`blk discard --offset ${AT} --length 4K --write`), 0, /are discarded/);
  }
  await output("qemu-img", "convert", "-f", "qcow2", "-O", "raw", of("image"), of("plain"));
  const found = Deno.readFileSync(of("plain"));
  // What was discarded may read as anything.
  for (const each of [found, wanted]) each.fill(0, AT, AT + 4096);
  assertEquals(found, wanted);
}

testWith(
  withoutDaemon ?? withoutPrograms("qemu-img", "qemu-io"),
  "commands on a disk of qemu-storage-daemon, a qcow2 image: blk, check, conform, NBD #cli:foreign_disks",
  walkDisk,
);

testWith(
  withoutTestpmd,
  "commands on a network card of DPDK: net info, bench and ping #cli:foreign_cards",
  async () => {
    using folder = new Folder();
    const socket = folder.of("socket");
    await using _testpmd = await Testpmd.start({ socket, forward: "macswap" });
    const does = (words: string, more = "") => run(...on(`net=${socket}${more}`)(words));
    const info = await does("net info", ",mac=52:54:00:12:34:56,pairs=2");
    ends(info, 0, /mac +52:54:00:12:34:56[^]*queue pairs +2/);
    ends(await does("net bench --seconds 0.1 --size 64"), 0, /sent\/s[^]*64 +\d/);
    // It is no station: frames come back as they were.
    const ping = await does("net ping 10.0.2.2 --address 10.0.2.15/24 --count 1");
    ends(ping, 1, /it does not answer ARP requests/);
  },
);
