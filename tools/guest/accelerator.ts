/** How QEMU runs the guest's instructions: by the processor itself, or translated. */
export type Accelerator = "kvm" | "tcg";

/** Firmware that ends QEMU: `mov al, 16; out 0xf4, al; cli; hlt` where a processor begins. */
const FIRMWARE_BYTES = 65536, RESET_VECTOR = 0xfff0;
const CODE = [0xb0, 0x10, 0xe6, 0xf4, 0xfa, 0xf4];
/** The exit status that isa-debug-exit makes of the 16. */
const ENDED = 2 * 16 + 1;
const DEADLINE = 3000;

/** KVM if it works, else translation. That there is a `/dev/kvm` says little: some hang on the first instruction. */
export async function findAccelerator(): Promise<Accelerator> {
  try {
    Deno.statSync("/dev/kvm");
  } catch {
    return "tcg";
  }
  return await runsFirmware("kvm,kernel-irqchip=split", "host") ? "kvm" : "tcg";
}

/** Whether a machine comes as far as its first instructions. */
export async function runsFirmware(accelerator: string, cpu: string): Promise<boolean> {
  const firmware = await Deno.makeTempFile({ prefix: "virtio-firmware-" });
  try {
    const bytes = new Uint8Array(FIRMWARE_BYTES);
    bytes.set(CODE, RESET_VECTOR);
    await Deno.writeFile(firmware, bytes);
    const qemu = new Deno.Command("qemu-system-x86_64", {
      args: [
        ...["-nodefaults", "-no-user-config", "-display", "none"],
        ...["-machine", `q35,accel=${accelerator}`, "-cpu", cpu, "-bios", firmware],
        ...["-device", "isa-debug-exit,iobase=0xf4,iosize=1"],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const timer = setTimeout(() => qemu.kill("SIGKILL"), DEADLINE);
    const { code } = await qemu.status;
    clearTimeout(timer);
    return code === ENDED;
  } finally {
    await Deno.remove(firmware);
  }
}
