/**
 * Disks from which firmware starts a program that says something on the first serial line.
 *
 * @module
 */

const SECTOR = 512;

/** A sector that a PC's BIOS starts. */
export function bootSector(text: string): Uint8Array<ArrayBuffer> {
  const sector = new Uint8Array(SECTOR);
  sector.set([
    ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8], // cli; xor ax, ax; mov ds, ax
    ...[0xbe, 0x20, 0x7c], // mov si, 0x7c20
    ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
    ...[0xac, 0x84, 0xc0, 0x74, 0x03], // lodsb; test al, al; jz end
    ...[0xee, 0xeb, 0xf8], // out dx, al; jmp lodsb
    ...[0xf4, 0xeb, 0xfd], // end: hlt; jmp end
  ]);
  sector.set(new TextEncoder().encode(`\r\n${text}\r\n\0`), 0x20);
  sector.set([0x55, 0xaa], 510);
  return sector;
}

/** A disk without partitions, whose file system (FAT16) has a program that UEFI firmware starts by itself. */
export function efiDisk(text: string, bytes: number): Uint8Array<ArrayBuffer> {
  const CLUSTERS_FROM = 2;
  const reserved = 1, roots = 32, sectorsOfRoot = roots * 32 / SECTOR;
  const sectors = bytes / SECTOR;
  const sectorsOfTable = Math.ceil(2 * sectors / SECTOR);
  const disk = new Uint8Array(bytes);
  const view = new DataView(disk.buffer);
  // BIOS parameter block (Microsoft, FAT: General Overview of On-Disk Format).
  disk.set([0xeb, 0x3c, 0x90, ...new TextEncoder().encode("VIRTIO  ")]);
  view.setUint16(11, SECTOR, true);
  disk[13] = 1; // sectors of a cluster
  view.setUint16(14, reserved, true);
  disk[16] = 1; // tables
  view.setUint16(17, roots, true);
  view.setUint16(19, sectors, true);
  disk[21] = 0xf8;
  view.setUint16(22, sectorsOfTable, true);
  view.setUint32(24, 0x10001, true);
  disk[38] = 0x29;
  disk.set(new TextEncoder().encode("NO NAME    FAT16   "), 43);
  disk.set([0x55, 0xaa], 510);

  const table = reserved * SECTOR;
  const root = table + sectorsOfTable * SECTOR;
  const data = root + sectorsOfRoot * SECTOR;
  view.setUint32(table, 0xfffffff8, true);
  let next = CLUSTERS_FROM;
  /** Puts content on clusters that follow each other; the number of the first. */
  const put = (content: Uint8Array) => {
    const first = next;
    const count = Math.ceil(content.length / SECTOR);
    for (let i = 0; i < count; i++) {
      view.setUint16(table + 2 * next++, i === count - 1 ? 0xffff : next, true);
    }
    disk.set(content, data + (first - CLUSTERS_FROM) * SECTOR);
    return first;
  };
  const entry = (name: string, isFolder: boolean, cluster: number, length = 0) => {
    const bytes = new Uint8Array(32);
    bytes.set(new TextEncoder().encode(name.padEnd(11)));
    bytes[11] = isFolder ? 0x10 : 0x20;
    new DataView(bytes.buffer).setUint16(26, cluster, true);
    new DataView(bytes.buffer).setUint32(28, length, true);
    return bytes;
  };
  const folder = (own: number, above: number, inside: Uint8Array) => {
    const bytes = new Uint8Array(SECTOR);
    bytes.set(entry(".", true, own));
    bytes.set(entry("..", true, above), 32);
    bytes.set(inside, 64);
    return bytes;
  };
  const program = efiProgram(text);
  const file = entry("BOOTX64 EFI", false, put(program), program.length);
  const efi = next + 1;
  const boot = put(folder(next, efi, file));
  put(folder(efi, 0, entry("BOOT", true, boot)));
  disk.set(entry("EFI", true, efi), root);
  return disk;
}

/** A program for UEFI on x86-64 (PE32+) that says something and stops. */
function efiProgram(text: string): Uint8Array<ArrayBuffer> {
  const HEADERS = 0x200, CODE = 0x1000, PE = 0x80;
  const wide = new Uint8Array(
    new Uint16Array([...`\r\n${text}\r\n\0`].map((c) => c.charCodeAt(0))).buffer,
  );
  const code = [
    ...[0x48, 0x83, 0xec, 0x28], // sub rsp, 40
    ...[0x48, 0x8b, 0x4a, 0x40], // mov rcx, [rdx + 64]: ConOut of the system table
    ...[0x48, 0x8d, 0x15, 0x06, 0, 0, 0], // lea rdx, [rip + 6]: the text
    ...[0xff, 0x51, 0x08], // call [rcx + 8]: OutputString
    ...[0xf4, 0xeb, 0xfd], // hlt; jmp hlt
  ];
  const program = new Uint8Array(HEADERS + 0x200);
  const view = new DataView(program.buffer);
  view.setUint16(0, 0x5a4d, true);
  view.setUint32(0x3c, PE, true);
  view.setUint32(PE, 0x4550, true);
  view.setUint16(PE + 4, 0x8664, true); // machine
  view.setUint16(PE + 6, 1, true); // sections
  view.setUint16(PE + 20, 0xf0, true); // bytes of the optional header
  view.setUint16(PE + 22, 0x22e, true); // executable, without symbols
  const optional = PE + 24;
  view.setUint16(optional, 0x20b, true);
  view.setUint32(optional + 4, 0x200, true); // bytes of code
  view.setUint32(optional + 16, CODE, true); // entry
  view.setUint32(optional + 20, CODE, true);
  view.setBigUint64(optional + 24, 0x400000n, true); // image base
  view.setUint32(optional + 32, 0x1000, true); // alignment of sections
  view.setUint32(optional + 36, 0x200, true); // and in the file
  view.setUint32(optional + 56, 2 * CODE, true); // bytes of the image
  view.setUint32(optional + 60, HEADERS, true);
  view.setUint16(optional + 68, 10, true); // an EFI application
  view.setUint32(optional + 108, 16, true); // data directories
  const section = optional + 0xf0;
  program.set(new TextEncoder().encode(".text"), section);
  view.setUint32(section + 8, 0x200, true);
  view.setUint32(section + 12, CODE, true);
  view.setUint32(section + 16, 0x200, true);
  view.setUint32(section + 20, HEADERS, true);
  view.setUint32(section + 36, 0x60000020, true); // code, to execute and to read
  program.set(code, HEADERS);
  program.set(wide, HEADERS + code.length);
  return program;
}
