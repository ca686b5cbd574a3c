/**
 * The network driver on QEMU's network card, with the kernel of this machine at the other end: only there QEMU offers
 * checksums, segmentation and several queues. All of it happens in network namespaces that the tests make.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { newerQemuTest, qemuProgram, qemuTest } from "./support/machine.ts";
import { patience } from "./support/patience.ts";

/** Why no test can run; undefined if they can. */
const without = withoutNamespace();

function withoutNamespace(): string | undefined {
  try {
    const args = ["-n", "ip", "tuntap", "add", "vt0", "mode", "tap"];
    const { success, stderr } = new Deno.Command("unshare", { args }).outputSync();
    return success
      ? undefined
      : `no tap in a namespace: ${new TextDecoder().decode(stderr).trim()}`;
  } catch {
    return "there is no unshare or no ip (packages util-linux, iproute2)";
  }
}

interface Outcome {
  // deno-lint-ignore no-explicit-any -- each scenario prints something else
  readonly seen: any;
  readonly accepted: readonly string[];
}

async function run(scenario: string, isolation: string): Promise<Outcome> {
  const program = new URL("support/tap_program.ts", import.meta.url).pathname;
  const { stdout, stderr } = await new Deno.Command("timeout", {
    signal: patience(),
    args: [
      "60",
      "unshare",
      "-n",
      Deno.execPath(),
      "run",
      "-A",
      program,
      qemuProgram(),
      scenario,
      isolation,
    ],
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert(text.startsWith("{"), `${text}${new TextDecoder().decode(stderr)}`);
  return JSON.parse(text);
}

/** Declares a test for both hosts: ignored, and its name says why, where there is no tap. */
function tapTest(name: string, fn: (isolation: string) => Promise<void>, newer = false): void {
  for (const isolation of ["process", "inline"]) {
    const test = newer ? newerQemuTest : qemuTest;
    test(`${name}, ${isolation}`, () => fn(isolation), without);
  }
}

tapTest(
  "vtnet has checksums filled in, and takes frames whose checksum is left open " +
    "#vtnet:CSUM #vtnet:GUEST_CSUM",
  async (isolation) => {
    const { seen, accepted } = await run("checksums", isolation);
    assert(accepted.includes("VIRTIO_NET_F_CSUM") && accepted.includes("VIRTIO_NET_F_GUEST_CSUM"));
    // The kernel throws away what has no checksum and was not said to need one.
    assertEquals(seen.got, ["one", "two", "three"]);
    assertEquals(seen.received, { checksum: "valid", summed: true });
    assertEquals(seen.counted["txq0.csum"], 3);
    assert(seen.counted["rxq0.csum"] >= 1);
  },
);

tapTest(
  "vtnet has long TCP segments cut, and takes those that were not " +
    "#vtnet:HOST_TSO4 #vtnet:GUEST_TSO4 #vtnet:HOST_UFO",
  async (isolation) => {
    const { seen, accepted } = await run("segments", isolation);
    assert(accepted.includes("VIRTIO_NET_F_HOST_TSO4"));
    assert(accepted.includes("VIRTIO_NET_F_GUEST_TSO4"));
    assertEquals([seen.arrived, seen.fragments], [true, 5000]);
    assert(seen.length > seen.segmentation.size + 54, `${seen.length}`);
    assertEquals([seen.checksum, seen.segmentation.type], ["partial", "tcp4"]);
    assert(seen.segmentation.size > 500 && seen.segmentation.size <= 1460);
  },
);

tapTest(
  "vtnet switches offloads while it runs #vtnet:CTRL_GUEST_OFFLOADS #vtnet:GUEST_OFFLOADS_SET",
  async (isolation) => {
    const { seen } = await run("offloads", isolation);
    assertEquals(seen, { before: "valid", off: "unknown", offSummed: true, after: "valid" });
  },
);

tapTest("vtnet sends by two pairs of queues #vtnet:MQ #vtnet:VQ_PAIRS_SET", async (isolation) => {
  const { seen } = await run("queues", isolation);
  assertEquals(seen.pairs, 2);
  assertEquals([seen.got, seen.sent, seen.one], [["one", "two", "three"], [true, true], 3]);
});

async function isHashed(isolation: string): Promise<void> {
  const { seen } = await run("hashes", isolation);
  assertEquals(seen.pair, 1);
  assertEquals(seen.hash.value, seen.wanted);
  assert(seen.hash.type > 0);
}

const HASHED = "vtnet has queues chosen by a hash, and gets it with the frames " +
  "#vtnet:RSS #vtnet:RSS_CONFIG #vtnet:HASH_REPORT";
tapTest(HASHED, isHashed);
tapTest(`${HASHED} #core:qemu_11`, isHashed, true);

tapTest(
  "vtnet has datagrams cut #vtnet:HOST_USO #vtnet:GUEST_USO4 #core:qemu_11",
  async (isolation) => {
    const { seen, accepted } = await run("datagrams", isolation);
    for (const name of ["HOST_USO", "GUEST_USO4", "GUEST_USO6"]) {
      assert(accepted.includes(`VIRTIO_NET_F_${name}`), `${accepted}`);
    }
    assertEquals(seen, [1200, 1200, 700]);
  },
  true,
);
