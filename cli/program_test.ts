// The program itself, as a user starts it: with the permission that it asks for, and no other.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { eachQemuTest, newerQemuTest, qemuProgram, qemuTest } from "../tests/support/machine.ts";
import { patience } from "../tests/support/patience.ts";

const PROGRAM = new URL("../main.ts", import.meta.url).pathname;

function command(
  line: string,
  environment: Readonly<Record<string, string>> = {},
  permissions: readonly string[] = ["--allow-ffi"],
): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    signal: patience(),
    args: ["run", "--no-prompt", ...permissions, PROGRAM, ...line.split(" ")],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", ...environment },
  });
}

function texts({ code, stdout, stderr }: Deno.CommandOutput) {
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

async function start(line: string, permissions?: readonly string[]) {
  return texts(await command(line, {}, permissions).output());
}

Deno.test("main.ts checks a simulated machine with both drivers, in processes and inline", async () => {
  for (const isolation of ["process", "inline"]) {
    const line = `check --machine simulated --isolation ${isolation}`;
    const { code, out, err } = await start(line);
    assertEquals(code, 0, out + err);
    assertMatch(out, new RegExp(`random +passed`));
    assertMatch(out, new RegExp(`blk +passed: .* written and read`));
  }
});

Deno.test("main.ts shows a simulated disk", async () => {
  const { code, out } = await start("show 00:02.0 --machine simulated --json");
  assertEquals(code, 0);
  const { structures, work } = JSON.parse(out);
  assertEquals(structures.common.bar, 4);
  assertEquals(work.status.at(-1), "DRIVER_OK");
  assertEquals(work.queues[0].name, "requests0");
});

Deno.test("main.ts without its permission helps, and else says which one is missing", async () => {
  assertEquals((await start("--help", [])).code, 0);
  const { code, out, err } = await start("ls", []);
  assertEquals([code, out], [5, ""]);
  assertMatch(err, /^error: .*--allow-ffi.*\n$/);
});

const DRIVERS = ["random", "balloon", "console", "vtnet", "scsi", "blk"];

/** Each driver's device with packed rings, which QEMU gives only where the user asks. */
const PACKED = [
  ...["rng-pci", "balloon-pci", "serial-pci", "net-pci,romfile=,netdev=net", "blk-pci,drive=disk"],
  "scsi-pci,id=host",
].map((device) => `-device virtio-${device},packed=on,disable-legacy=on`).join(" ") +
  " -chardev null,id=port -device virtserialport,chardev=port,name=port" +
  " -netdev user,id=net,restrict=on" +
  ["disk", "unit"].map((name) =>
    ` -blockdev driver=null-co,size=16777216,read-zeroes=on,read-only=on,node-name=${name}`
  ).join("") +
  " -device scsi-hd,bus=host.0,drive=unit";

/** Every form that QEMU gives devices, on both boards. */
const FORMS = [
  ...["q35", "pc"].flatMap((board) => [
    `--board ${board}`,
    `--board ${board} --legacy`,
    `--board ${board} --legacy --interrupts intx`,
  ]),
  `-- ${PACKED}`,
];

/** Those that a newer QEMU is checked with too: each board, register set, ring and kind of interrupt once. */
const FORMS_OF_NEWER = ["--board q35", "--board pc --legacy --interrupts intx"];

for (const isolation of ["process", "inline"]) {
  for (const form of FORMS) {
    const test = FORMS_OF_NEWER.includes(form) ? eachQemuTest : qemuTest;
    test(
      `main.ts check --machine qemu passes with all six drivers: ${isolation}, ` +
        (form.startsWith("--board") ? form : "packed"),
      () => passes(`--isolation ${isolation} ${form}`),
    );
  }
  newerQemuTest(
    `main.ts check passes with all six drivers, which answer in order: ${isolation} #core:in_order #core:qemu_11`,
    async () => {
      for (const ring of ["packed=on", "packed=off"]) {
        await passes(
          `--isolation ${isolation} -- ${PACKED.replaceAll("packed=on", `in_order=on,${ring}`)}`,
        );
      }
    },
  );
}

async function passes(line: string): Promise<void> {
  const command = `check --machine qemu --qemu ${qemuProgram()} ${line}`;
  const { code, out, err } = await start(command);
  assertEquals(code, 0, out + err);
  for (const driver of DRIVERS) assertMatch(out, new RegExp(` ${driver} +passed`));
}

qemuTest("main.ts check leaves its pattern in an image that the user gives to QEMU", async () => {
  const image = await Deno.makeTempFile();
  try {
    await Deno.truncate(image, 16 << 20);
    const { code, out, err } = await start(
      `check --machine qemu --json -- -blockdev driver=file,filename=${image},node-name=image ` +
        "-device virtio-blk-pci,drive=image",
    );
    assertEquals(code, 0, out + err);
    const devices: { outcome: string; figures: Record<string, number | string> }[] =
      JSON.parse(out).devices;
    const { offset, length, sha256 } = devices.find(({ outcome }) => outcome === "passed")!.figures;
    const bytes = await Deno.readFile(image);
    const pattern = bytes.slice(Number(offset), Number(offset) + Number(length));
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", pattern)).toHex();
    assertEquals(hash, sha256);
    pattern.forEach((_, i) => bytes[Number(offset) + i] = 0);
    assert(bytes.every((byte) => byte === 0), "something else was written");
  } finally {
    await Deno.remove(image);
  }
});

/** Command lines of the processes that a run of the program has left behind. */
function leftBehind(pid: number, mark: string): string[] {
  return Array.from(Deno.readDirSync("/proc"), ({ name }) => name).filter((name) => +name > 0)
    .flatMap((name) => {
      try {
        const line = Deno.readTextFileSync(`/proc/${name}/cmdline`);
        // Drivers know their core by its number; QEMU has the whole environment.
        const ours = line.includes(`"core":${pid},`) ||
          Deno.readTextFileSync(`/proc/${name}/environ`).includes(mark);
        return ours ? [line.replaceAll("\0", " ")] : [];
      } catch {
        return []; // It has ended meanwhile, or belongs to another user.
      }
    });
}

qemuTest(
  "main.ts leaves no process behind when it is interrupted or killed, whatever it is doing",
  async () => {
    for (const signal of ["SIGINT", "SIGKILL"] as const) {
      for (const milliseconds of [60, 100, 140, 180]) {
        const mark = crypto.randomUUID();
        const child = command("check --machine qemu", { MARK: mark }).spawn();
        const output = child.output();
        await new Promise((resolve) => setTimeout(resolve, milliseconds));
        try {
          child.kill(signal);
        } catch {
          // It is done already.
        }
        const { code, err } = texts(await output);
        const expected = signal === "SIGINT" ? 130 : 137;
        assert([0, expected].includes(code), `exit status ${code}: ${err}`);
        // A program that is killed cannot clean up; the system does it, a moment later.
        for (let i = 0; i < 3000 && leftBehind(child.pid, mark).length > 0; i++) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        assertEquals(leftBehind(child.pid, mark), []);
      }
    }
  },
);
