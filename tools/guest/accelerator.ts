/** How QEMU runs the guest's instructions: by the processor itself, or translated. */
export type Accelerator = "kvm" | "tcg";

/** How long firmware may take; it needs a few milliseconds. */
const DEADLINE = 3000;
const FIRMWARE_BYTES = 65536;
/**
 * Firmware that enters protected mode, as every kernel does, and then ends QEMU. There are machines whose KVM runs real
 * mode and hangs at this step. It lies below 4 GiB, where a processor begins, 16 bytes before the end.
 */
const FIRMWARE: readonly (readonly [offset: number, code: readonly number[]])[] = [
  [0xfff0, [0xe9, 0x0d, 0x00]], // jmp 0
  [0x0000, [
    ...[0xfa], // cli
    ...[0x2e, 0x66, 0x0f, 0x01, 0x16, 0x80, 0x00], // lgdt cs:[0x80]
    ...[0x0f, 0x20, 0xc0], // mov eax, cr0
    ...[0x0c, 0x01], // or al, 1
    ...[0x0f, 0x22, 0xc0], // mov cr0, eax
    ...[0x66, 0xea, 0x00, 0x01, 0xff, 0xff, 0x08, 0x00], // jmp 8:0xffff0100
  ]],
  [0x0080, [0x17, 0x00, 0x90, 0x00, 0xff, 0xff]], // 24 bytes at 0xffff0090
  [0x0090, [
    ...[0, 0, 0, 0, 0, 0, 0, 0],
    ...[0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0], // code, 32 bits, 4 GiB
    ...[0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0], // data
  ]],
  [0x0100, [0xb0, 0x10, 0xe6, 0xf4, 0xfa, 0xf4]], // mov al, 16; out 0xf4, al; cli; hlt
];
/** The exit status that isa-debug-exit makes of the 16. */
const ENDED = 2 * 16 + 1;

/**
 * KVM if it works, else translation. That there is a `/dev/kvm` says little: some hang on the first instruction, others
 * later. The environment variable `VIRTIO_GUEST_ACCEL` has the last word.
 */
export async function findAccelerator(): Promise<Accelerator> {
  const wanted = Deno.env.get("VIRTIO_GUEST_ACCEL");
  if (wanted === "kvm" || wanted === "tcg") return wanted;
  if (wanted) throw new Error(`VIRTIO_GUEST_ACCEL is ${JSON.stringify(wanted)}, not kvm or tcg`);
  try {
    Deno.statSync("/dev/kvm");
  } catch {
    return "tcg";
  }
  return await runsFirmware("kvm,kernel-irqchip=split", "host") ? "kvm" : "tcg";
}

/** Whether a machine comes to the end of some firmware; of one that enters protected mode, if left out. */
export async function runsFirmware(
  accelerator: string,
  cpu: string,
  firmware = FIRMWARE,
  deadline = DEADLINE,
): Promise<boolean> {
  const path = await firmwareFile(firmware);
  try {
    const qemu = new Deno.Command("qemu-system-x86_64", {
      args: [
        ...["-nodefaults", "-no-user-config", "-display", "none"],
        ...["-machine", `q35,accel=${accelerator}`, "-cpu", cpu, "-bios", path],
        ...["-device", "isa-debug-exit,iobase=0xf4,iosize=1"],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const timer = setTimeout(() => qemu.kill("SIGKILL"), deadline);
    const { code } = await qemu.status;
    clearTimeout(timer);
    return code === ENDED;
  } finally {
    await Deno.remove(path);
  }
}

/** Writes firmware to a file, which is the caller's. */
export async function firmwareFile(firmware: typeof FIRMWARE): Promise<string> {
  const bytes = new Uint8Array(FIRMWARE_BYTES);
  for (const [offset, code] of firmware) bytes.set(code, offset);
  const path = await Deno.makeTempFile({ prefix: "virtio-firmware-" });
  await Deno.writeFile(path, bytes);
  return path;
}
