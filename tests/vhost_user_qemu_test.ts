/**
 * Devices that are served by vhost-user, in a Linux guest whose own drivers use them: Debian's kernel in QEMU.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Shell } from "../tools/guest/shell.ts";
import { eachQemuTest, newerQemuTest, qemuProgram, qemuTest } from "./support/machine.ts";
import { withoutPrograms } from "./support/needs.ts";
import { soon } from "./support/leaks.ts";
import { patience } from "./support/patience.ts";
import "./support/libc.ts";

const ROOT = new URL("../", import.meta.url);
const MIB = 2 ** 20;

/** The command `serve`, as another program. */
class Serving implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #said: Promise<string>;
  /** What it printed: QEMU's arguments. */
  qemu: readonly string[] = [];

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#said = new Response(process.stderr).text();
  }

  /** Starts it, and waits until it listens. */
  static async start(...args: readonly string[]): Promise<Serving> {
    const serving = new Serving(
      new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--no-check", "--allow-ffi", "main.ts", "serve", ...args],
        cwd: ROOT,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn(),
    );
    const reader = serving.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`serve ended: ${await serving.#said}`);
      text += value;
    }
    await reader.cancel();
    serving.qemu = text.trim().split(" ");
    return serving;
  }

  /** QEMU's arguments for the device alone, without those for its memory. */
  get device(): readonly string[] {
    return this.qemu.slice(this.qemu.indexOf("-chardev"));
  }

  /** Ends it at once, as nothing can prevent. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    await this.#said;
  }

  /** Ends it as a person does. Returns what it said. */
  async end(): Promise<string> {
    this.#process.kill("SIGINT");
    const { code } = await this.#process.status;
    assertEquals(code, 130);
    return await this.#said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#process.status;
    await this.#said;
  }
}

/** Files and sockets of a test. */
class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "virtio-vhost-" });

  at(name: string): string {
    return `${this.path}/${name}`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assertEquals(code, 0, text);
  return text;
}

/** Numbers that a guest's file is made of, so that both sides know what it holds. */
const FILL = 'i=0; while [ $i -lt 40000 ]; do echo "line $i of the file"; i=$((i+1)); done';

qemuTest(
  "a Linux guest uses disk, SCSI, network and entropy by vhost-user, split and packed, with several queues #cli:serve_guest #cli:serve_guest_rings",
  async () => {
    using folder = new Folder();
    const image = folder.at("disk.img");
    await Deno.writeFile(image, new Uint8Array());
    await Deno.truncate(image, 64 * MIB);
    await run("mke2fs", "-q", "-t", "ext4", image);
    const serve = (name: string, ...more: readonly string[]) =>
      Serving.start(name, "--vhost-user", folder.at(name), ...more);
    await using blk = await serve("blk", "--disk", image, "--queues", "2");
    await using scsi = await serve("scsi");
    await using net = await serve("net");
    await using random = await serve("random");
    await using guest = await Shell.boot({
      qemu: qemuProgram(),
      devices: [
        ...blk.device.map((each) => each.replace("-blk-pci,", "-blk-pci,packed=on,")),
        ...scsi.device,
        // QEMU 7.2 without KVM dies where such a card has MSI-X: a null pointer of its own.
        ...net.device.map((each) => each.replace("virtio-net-pci,", "virtio-net-pci,vectors=0,")),
        ...random.device.map((each) => each.replace("-rng-pci,", "-rng-pci,packed=on,")),
        ...["-smp", "2"],
      ],
    });

    // Bit 34: the first two queues of a packed disk, both in use.
    assertEquals(await guest.run("cut -c 35 /sys/block/vda/device/features"), "1");
    assertEquals(await guest.run("ls /sys/block/vda/mq | wc -l"), "2");
    // The disk: a file system that was made outside, in both directions.
    assertEquals(await guest.run("cat /sys/block/vda/size"), `${64 * MIB / 512}`);
    assertEquals(await guest.run("echo $(cat /sys/block/vda/serial)"), "VIRTIO-DENO");
    await guest.run("mount -t ext4 /dev/vda /mnt");
    await guest.run(`(${FILL}) > /mnt/file && sync`);
    const sum = await guest.run("echo 3 > /proc/sys/vm/drop_caches; md5sum < /mnt/file");
    await guest.run("mkdir /mnt/gone && cp /mnt/file /mnt/gone/ && rm -r /mnt/gone && sync");
    assertMatch(await guest.run("fstrim -v /mnt"), /^\/mnt: [1-9]\d* bytes trimmed/);

    // Stopped in the middle of it, and it goes on: the first of two kinds of pause.
    await guest.say("(dd if=/dev/zero of=/mnt/more bs=64k count=256 oflag=direct; echo @@DONE) &");
    for (let i = 0; i < 4; i++) {
      await guest.execute("stop");
      await guest.execute("cont");
    }
    await guest.waitFor(/@@DONE/);
    assertEquals(
      await guest.run("echo 3 > /proc/sys/vm/drop_caches; md5sum < /mnt/file"),
      sum,
    );
    assertEquals(await guest.run("cmp -n 16777216 /mnt/more /dev/zero; echo $?"), "0");
    await guest.run("rm /mnt/more; sync");

    await guest.run("dd if=/dev/urandom of=/tmp/x bs=64k count=32");
    await guest.run("dd if=/tmp/x of=/dev/sda bs=64k oflag=direct");
    await guest.run("dd if=/dev/sda bs=64k count=32 iflag=direct | cmp - /tmp/x");

    await guest.run("ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0");
    const ping = (count: number) => guest.run(`ping -c ${count} -W 20 10.0.2.2`);
    assertMatch(await ping(3), /3 packets received, 0% packet loss/);
    await guest.execute("stop");
    await guest.execute("cont");
    assertMatch(await ping(3), /3 packets received, 0% packet loss/);
    // More frames than the ring has entries.
    // On a busy machine the last answers may come after ping's end.
    let pings = "";
    for (let i = 0; i < 5 && !pings.includes("400 packets received"); i++) {
      pings = await guest.run("ping -c 400 -i 0.01 10.0.2.2 | tail -n 2");
    }
    assertMatch(pings, /400 packets received/);

    const draw = () => guest.run("dd if=/dev/hwrng bs=64 count=4 2>/dev/null | md5sum");
    const drawn = await draw();
    assert(drawn !== await draw());

    await guest.run("umount /mnt");
    await guest.powerOff();
    // Seen from outside: nothing was lost, and nothing is wrong with it.
    await run("e2fsck", "-f", "-n", image);
    const dumped = await run("debugfs", "-R", `dump /file ${folder.at("file")}`, image);
    assert(!/not found/.test(dumped), dumped);
    assertMatch(await run("md5sum", folder.at("file")), new RegExp(`^${sum.split(" ")[0]}`));
    for (const each of [blk, scsi, net, random]) assertMatch(await each.end(), /machine 1 left$/m);
  },
  withoutPrograms("mke2fs", "e2fsck", "debugfs", "md5sum", "setpriv"),
);

qemuTest(
  "a Linux guest's disks outlive the programs that serve them: killed three times while it writes, split and packed #cli:serve_killed",
  async () => {
    using folder = new Folder();
    const disks = ["split", "packed"].map((ring, i) => ({
      ring,
      image: folder.at(`${ring}.img`),
      path: `/dev/vd${"ab"[i]}`,
      start() {
        const args = ["--vhost-user", folder.at(ring), "--disk", this.image, "--queues", "2"];
        return Serving.start("blk", ...args);
      },
      /** QEMU's arguments, with names of this disk's own. */
      devices: ({ device }: Serving) =>
        device.map((each) =>
          each.replaceAll("=blk", `=${ring}`).replace(/^socket,.*/, "$&,reconnect=1").replace(
            "-blk-pci,",
            `-blk-pci,packed=${ring === "packed" ? "on" : "off"},`,
          )
        ),
    }));
    for (const { image } of disks) {
      await Deno.writeFile(image, new Uint8Array());
      await Deno.truncate(image, 64 * MIB);
    }
    const served = await Promise.all(disks.map((disk) => disk.start()));
    try {
      await using guest = await Shell.boot({
        qemu: qemuProgram(),
        devices: disks.flatMap((disk, i) => disk.devices(served[i]!)),
        modules: ["virtio_pci", "virtio_blk"],
      });
      const bits = await guest.run("cut -c 35 /sys/block/vd[ab]/device/features");
      assertEquals(bits, "0\n1");
      await guest.run("dd if=/dev/urandom of=/tmp/x bs=1M count=24");
      const sum = (await guest.run("md5sum < /tmp/x")).split(" ")[0]!;
      for (const { path } of disks) {
        await guest.say(
          `(for i in 1 2 3 4; do dd if=/tmp/x of=${path} bs=16k oflag=direct || echo @@BAD; done; echo @@DONE ${path}) &`,
        );
      }
      for (let round = 0; round < 3; round++) {
        for (const [i, { image, start }] of disks.entries()) {
          const { mtime } = await Deno.stat(image);
          assert(await soon(() => Deno.statSync(image).mtime! > mtime!), "it does not write");
          await served[i]!.kill();
          served[i] = await start.call(disks[i]!);
        }
      }
      for (const { path } of disks) await guest.waitFor(new RegExp(`@@DONE ${path}`), 120_000);
      assert(!guest.console.some((line) => /@@BAD|I\/O error/.test(line)), "an error came through");
      for (const { path } of disks) {
        assertEquals(
          await guest.run(`dd if=${path} bs=16k count=1536 iflag=direct 2>/dev/null | md5sum`),
          `${sum}  -`,
        );
      }
      await guest.powerOff();
      for (const { image } of disks) {
        await Deno.writeFile(folder.at("x"), (await Deno.readFile(image)).subarray(0, 24 * MIB));
        assertMatch(await run("md5sum", folder.at("x")), new RegExp(`^${sum}`));
      }
      assertEquals(await guest.errors.then((text) => /out of range|bad|broken/i.test(text)), false);
    } finally {
      for (const each of served) await each[Symbol.asyncDispose]();
    }
  },
  withoutPrograms("md5sum", "setpriv"),
);

qemuTest("a Linux guest is lied to by vhost-user, and says so #cli:serve_lie", async () => {
  using folder = new Folder();
  await using blk = await Serving.start("blk", "--vhost-user", folder.at("blk"), "--lie", "D-41");
  await using guest = await Shell.start({
    qemu: qemuProgram(),
    devices: blk.device,
    modules: ["virtio_pci", "virtio_blk"],
  });
  await guest.waitFor(/virtio_blk virtio\d+: req\.\d+:id \d+ out of range/, 120_000);
});

newerQemuTest(
  "a Linux guest uses a console and a balloon by vhost-user #cli:serve_guest",
  async () => {
    using folder = new Folder();
    await using consoles = await Serving.start("console", "--vhost-user", folder.at("console"));
    await using balloon = await Serving.start("balloon", "--vhost-user", folder.at("balloon"));
    await using guest = await Shell.boot({
      qemu: qemuProgram(),
      devices: [...consoles.device, ...balloon.device],
      modules: ["virtio_pci", "virtio_console", "virtio_balloon"],
    });
    const port = "/dev/$(basename $(dirname $(grep -l echo /sys/class/virtio-ports/*/name)))";
    // Ports come one by one.
    const come = "grep -q echo /sys/class/virtio-ports/*/name 2>/dev/null";
    await guest.run(`for i in $(seq 100); do ${come} && break; sleep 0.2; done; ${come}`);
    assertEquals(
      await guest.run(`exec 3<>${port}; echo hello >&3; head -n 1 <&3`),
      "hello",
    );
    const inflated = "grep -q 'balloon_inflate [1-9]' /proc/vmstat";
    await guest.run(
      `for i in $(seq 100); do ${inflated} && break; sleep 0.2; done; ` +
        `${inflated} || (grep balloon /proc/vmstat; dmesg | tail -5; exit 1)`,
    );
    await guest.powerOff();
  },
);

for (
  const [name, oldest] of [["blk", true], ["net", false], ["random", true], ["scsi", true]] as const
) {
  // QEMU 7.2 crashes at a card with MSI-X on vhost-user, as the page says.
  (oldest ? eachQemuTest : newerQemuTest)(
    `serve ${name} --vhost-user: QEMU takes the line that it prints as it stands #cli:serve_line`,
    async () => {
      using folder = new Folder();
      await using serving = await Serving.start(name, "--vhost-user", folder.at(name));
      const qemu = new Deno.Command(qemuProgram(), {
        args: ["-machine", "q35", "-nodefaults", "-display", "none", "-S", ...serving.qemu]
          .concat(["-monitor", "stdio"]),
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
        signal: patience(),
      }).spawn();
      const writer = qemu.stdin.getWriter();
      // One that refused its command line is gone.
      await writer.write(new TextEncoder().encode("quit\n")).catch(() => {});
      await writer.close().catch(() => {});
      const { code, stderr } = await qemu.output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
    },
  );
}
