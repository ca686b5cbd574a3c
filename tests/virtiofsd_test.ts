/**
 * virtiofsd, a daemon made of rust-vmm's crates: a device of a class that no application brought.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { openKernel } from "../mod.ts";
import { Folder, Virtiofsd, withoutVirtiofsd } from "./support/back_ends.ts";
import { leftovers } from "./support/leaks.ts";
import "./support/libc.ts";
import { testWith } from "./support/needs.ts";
import { fixture } from "./support/plugin.ts";
import { program, run } from "./support/program.ts";

/**
 * A driver that begins a session with the file system (FUSE_INIT, linux/fuse.h), and tells what the daemon answered as a
 * statistic.
 */
const DRIVER = `
import { definePlugin } from "@virtio/deno/plugin";
export default definePlugin({
  plan: () => ({
    queues: { high: { index: 0, size: 8 }, requests: { index: 1, size: 8, buffers: 2 } },
    lanes: { requests: { slots: 1, slotBytes: 64 } },
    buffers: { data: 4096 },
  }),
  start({ queues: { requests }, buffers: { data } }) {
    const words = new DataView(data.bytes.buffer, data.bytes.byteOffset, data.bytes.byteLength);
    // struct fuse_in_header (40 bytes), then struct fuse_init_in of version 7.31.
    [40 + 16, 26, 1, 0].forEach((word, i) => words.setUint32(4 * i, word, true));
    [7, 31].forEach((word, i) => words.setUint32(40 + 4 * i, word, true));
    requests.begin(1);
    requests.readable(data.offset, 56);
    requests.writable(data.offset + 1024, 256);
    requests.commit();
    let written = 0;
    return {
      rung() {
        requests.drain((_, bytes) => { written = bytes; });
      },
      // struct fuse_out_header (16 bytes), then struct fuse_init_out, which begins with the version.
      statistics: () => ({ written, major: words.getUint32(1024 + 16, true) }),
    };
  },
});
`;

testWith(
  withoutVirtiofsd,
  "vhost-user: virtiofsd's handshake, and a file system that no class is for is attached and described #core:vhost_user_rust",
  async () => {
    using folder = new Folder();
    using plugin = fixture(DRIVER, {
      manifest: { class: "filesystem", match: [{ vendor: "1af4", device: "105a" }] },
    });
    const socket = folder.of("fs");
    await using _daemon = await Virtiofsd.start(socket, plugin.folder);
    const left = await leftovers(async () => {
      await using kernel = await openKernel({
        machine: "vhost-user",
        vhostUser: [{ kind: "fs", socket }],
        plugins: [plugin.folder],
      });
      const { function: { address, refusal } } = kernel.nodes[0]!;
      assertEquals(refusal, undefined);
      const device = await kernel.attach(address);
      assertEquals(device.client, undefined);
      let statistics: Readonly<Record<string, number>> = {};
      for (let tries = 0; !statistics.written && tries < 200; tries++) {
        statistics = (await device.describe()).statistics;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assert(statistics.written! >= 16 + 24, JSON.stringify(statistics));
      assertEquals(statistics.major, 7);
      const { class: name, queues } = await device.describe();
      assertEquals([name, queues.map(({ completed }) => completed)], ["filesystem", [0, 1]]);
    });
    assertEquals(left, []);
  },
);

testWith(
  withoutVirtiofsd,
  "vhost-user: a file system without a driver is listed and explained #core:vhost_user_rust",
  async () => {
    using folder = new Folder();
    const socket = folder.of("fs");
    await using _daemon = await Virtiofsd.start(socket, folder.path);
    const { code, text } = await run(
      ...program("ls", "--machine", "vhost-user", "--", `fs=${socket}`),
    );
    assertEquals(code, 0);
    assert(text.includes("1af4:105a"), text);
  },
);
