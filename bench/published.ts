/** A figure that others have published. */
export interface Published {
  readonly what: string;
  readonly figure: string;
  readonly date: string;
  readonly source: string;
}

const IXY =
  "[The Case for Writing Network Drivers in High-Level Programming Languages](https://arxiv.org/abs/1909.06344)";

/** What cannot be measured here: the hardware, or the program, is not to be had. */
export const PUBLISHED: readonly Published[] = [
  {
    what: "Network driver in JavaScript for Intel's 10 Gbit/s cards (ixy.js), 64-byte frames",
    figure: "about 5 million frames a second, where C has 28",
    date: "2019-09",
    source: IXY,
  },
  {
    what: "Likewise in Rust (ixy.rs)",
    figure: "4 % slower than C",
    date: "2019-09",
    source: IXY,
  },
  {
    what: "QEMU's own NVMe driver through VFIO, random reads of 4 KiB, depth 1",
    figure: "21.6 thousand a second; 10.5 by Linux",
    date: "2018-01",
    source: "QEMU's commit bdd6a90a9e5f",
  },
  {
    what: "Linux's virtio-blk on a disk in memory, random reads of 4 KiB, depth 128, one processor",
    figure: "123 thousand a second by QEMU; 110 by vhost-blk",
    date: "2022-07",
    source: "the series _vhost-blk_ on qemu-devel",
  },
  {
    what: "SPDK's driver on qemu-storage-daemon's null disk by vhost-user, depth 1, 4, 32, 128",
    figure: "79, 2100, 2537, 2933 thousand a second",
    date: "2026-11",
    source: "a machine of two processors, by this project; SPDK is in no suite of Debian",
  },
];
