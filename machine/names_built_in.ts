import { parseNames, type PciNames } from "./names.ts";

/**
 * What a machine without `pci.ids` needs at least: VirtIO, what QEMU puts beside it, and the classes. An excerpt
 * of https://pci-ids.ucw.cz/, which may be distributed under the 3-clause BSD licence.
 */
export const BUILT_IN_NAMES: PciNames = parseNames(`\
1af4  Red Hat, Inc.
\t1000  Virtio network device
\t1001  Virtio block device
\t1002  Virtio memory balloon
\t1003  Virtio console
\t1004  Virtio SCSI
\t1005  Virtio RNG
\t1009  Virtio filesystem
\t1041  Virtio 1.0 network device
\t1042  Virtio 1.0 block device
\t1043  Virtio 1.0 console
\t1044  Virtio 1.0 RNG
\t1045  Virtio 1.0 memory balloon
\t1048  Virtio 1.0 SCSI
\t1049  Virtio 1.0 filesystem
\t1050  Virtio 1.0 GPU
\t1052  Virtio 1.0 input
\t1053  Virtio 1.0 socket
\t105a  Virtio file system
\t1110  Inter-VM shared memory
1b36  Red Hat, Inc.
\t0001  QEMU PCI-PCI bridge
\t0002  QEMU PCI 16550A Adapter
\t0003  QEMU PCI Dual-port 16550A Adapter
\t0004  QEMU PCI Quad-port 16550A Adapter
\t0005  QEMU PCI Test Device
\t0006  PCI Rocker Ethernet switch device
\t0007  PCI SD Card Host Controller Interface
\t0008  QEMU PCIe Host bridge
\t0009  QEMU PCI Expander bridge
\t000a  PCI-PCI bridge (multiseat)
\t000b  QEMU PCIe Expander bridge
\t000c  QEMU PCIe Root port
\t000d  QEMU XHCI Host Controller
\t0010  QEMU NVM Express Controller
\t0100  QXL paravirtual graphic card
8086  Intel Corporation
\t100e  82540EM Gigabit Ethernet Controller
\t10d3  82574L Gigabit Network Connection
\t1237  440FX - 82441FX PMC [Natoma]
\t2918  82801IB (ICH9) LPC Interface Controller
\t2922  82801IR/IO/IH (ICH9R/DO/DH) 6 port SATA Controller [AHCI mode]
\t2930  82801I (ICH9 Family) SMBus Controller
\t2934  82801I (ICH9 Family) USB UHCI Controller #1
\t29c0  82G33/G31/P35/P31 Express DRAM Controller
\t7000  82371SB PIIX3 ISA [Natoma/Triton II]
\t7010  82371SB PIIX3 IDE [Natoma/Triton II]
\t7113  82371AB/EB/MB PIIX4 ACPI
C 00  Unclassified device
\t00  Non-VGA unclassified device
\t01  VGA compatible unclassified device
C 01  Mass storage controller
\t00  SCSI storage controller
\t01  IDE interface
\t04  RAID bus controller
\t05  ATA controller
\t06  SATA controller
\t07  Serial Attached SCSI controller
\t08  Non-Volatile memory controller
\t80  Mass storage controller
C 02  Network controller
\t00  Ethernet controller
\t07  Infiniband controller
\t80  Network controller
C 03  Display controller
\t00  VGA compatible controller
\t02  3D controller
\t80  Display controller
C 04  Multimedia controller
\t01  Multimedia audio controller
\t03  Audio device
\t80  Multimedia controller
C 05  Memory controller
\t00  RAM memory
\t80  Memory controller
C 06  Bridge
\t00  Host bridge
\t01  ISA bridge
\t04  PCI bridge
\t80  Bridge
C 07  Communication controller
\t00  Serial controller
\t01  Parallel controller
\t80  Communication controller
C 08  Generic system peripheral
\t00  PIC
\t01  DMA controller
\t02  Timer
\t03  RTC
\t05  SD Host controller
\t06  IOMMU
\t80  System peripheral
C 09  Input device controller
C 0a  Docking station
C 0b  Processor
C 0c  Serial bus controller
\t03  USB controller
\t05  SMBus
\t80  Serial bus controller
C 0d  Wireless controller
\t80  Wireless controller
C 0e  Intelligent controller
C 0f  Satellite communications controller
C 10  Encryption controller
\t80  Encryption controller
C 11  Signal processing controller
C 12  Processing accelerators
\t00  Processing accelerators
C 13  Non-Essential Instrumentation
C 40  Coprocessor
C ff  Unassigned class
`);
