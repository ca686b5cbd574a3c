/**
 * What a network device and its driver say to each other: names, numbers and offsets of the specification
 * (virtio 1.4, 5.1), without the prefix `VIRTIO_NET_`. All fields are little-endian.
 *
 * @module
 */

/** Device id of the network device (5.1.1). */
export const DEVICE_ID = 1;

// Feature bits (5.1.3), as masks.

/** The device fills in checksums of frames that it sends. */
export const F_CSUM = 1n << 0n;
/** The driver takes frames without a complete checksum. */
export const F_GUEST_CSUM = 1n << 1n;
/** Receive offloads can be switched at any time. */
export const F_CTRL_GUEST_OFFLOADS = 1n << 2n;
/** `mtu` is there. */
export const F_MTU = 1n << 3n;
/** `mac` means something. */
export const F_MAC = 1n << 5n;
/** Legacy: the device takes every kind of segmentation. */
export const F_GSO = 1n << 6n;
/** The driver takes TCP over IPv4 that was put together. */
export const F_GUEST_TSO4 = 1n << 7n;
/** The same over IPv6. */
export const F_GUEST_TSO6 = 1n << 8n;
/** The same with congestion bits. */
export const F_GUEST_ECN = 1n << 9n;
/** The driver takes UDP datagrams whose fragments were put together. */
export const F_GUEST_UFO = 1n << 10n;
/** The device cuts TCP over IPv4 into segments. */
export const F_HOST_TSO4 = 1n << 11n;
/** The same over IPv6. */
export const F_HOST_TSO6 = 1n << 12n;
/** The same with congestion bits. */
export const F_HOST_ECN = 1n << 13n;
/** The device cuts UDP datagrams into fragments. */
export const F_HOST_UFO = 1n << 14n;
/** A frame may come in several buffers. */
export const F_MRG_RXBUF = 1n << 15n;
/** `status` is there. */
export const F_STATUS = 1n << 16n;
/** There is a control queue. */
export const F_CTRL_VQ = 1n << 17n;
/** It sets what is received. */
export const F_CTRL_RX = 1n << 18n;
/** It sets which VLANs are received. */
export const F_CTRL_VLAN = 1n << 19n;
/** It sets more about what is received. */
export const F_CTRL_RX_EXTRA = 1n << 20n;
/** The device may ask for announcements. */
export const F_GUEST_ANNOUNCE = 1n << 21n;
/** There are several pairs of queues. */
export const F_MQ = 1n << 22n;
/** The control queue sets the address. */
export const F_CTRL_MAC_ADDR = 1n << 23n;
/** The device counts. */
export const F_DEVICE_STATS = 1n << 50n;
/** Hashes may look into tunnels. */
export const F_HASH_TUNNEL = 1n << 51n;
/** Interrupts of one queue can be put off. */
export const F_VQ_NOTF_COAL = 1n << 52n;
/** Interrupts can be put off. */
export const F_NOTF_COAL = 1n << 53n;
/** The driver takes UDP over IPv4 that was put together. */
export const F_GUEST_USO4 = 1n << 54n;
/** The same over IPv6. */
export const F_GUEST_USO6 = 1n << 55n;
/** The device cuts UDP into datagrams. */
export const F_HOST_USO = 1n << 56n;
/** Frames come with a hash. */
export const F_HASH_REPORT = 1n << 57n;
/** `hdr_len` of frames that are sent is exact. */
export const F_GUEST_HDRLEN = 1n << 59n;
/** Frames are spread over queues by a hash. */
export const F_RSS = 1n << 60n;
/** The device says how many segments it has put together. */
export const F_RSC_EXT = 1n << 61n;
/** The device stands by for another with the same address. */
export const F_STANDBY = 1n << 62n;
/** `speed` and `duplex` are there. */
export const F_SPEED_DUPLEX = 1n << 63n;

// Device configuration (5.1.4): offset of each field in bytes.

/** The address: six bytes. */
export const CONFIG_MAC = 0;
/** {@linkcode S_LINK_UP}, {@linkcode S_ANNOUNCE} (16 bits). */
export const CONFIG_STATUS = 6;
/** Most pairs of queues (16 bits). */
export const CONFIG_MAX_VIRTQUEUE_PAIRS = 8;
/** Bytes that a frame may carry (16 bits). */
export const CONFIG_MTU = 10;
/** Megabits per second (32 bits). */
export const CONFIG_SPEED = 12;
/** 0 half duplex, 1 full (8 bits). The normative text of 5.1.4.1 has it the other way round; devices do not. */
export const CONFIG_DUPLEX = 16;
/** Longest key of a hash (8 bits). */
export const CONFIG_RSS_MAX_KEY_SIZE = 17;
/** Most entries of the indirection table (16 bits). */
export const CONFIG_RSS_MAX_INDIRECTION_TABLE_LENGTH = 18;
/** Hashes that the device makes, a bit each (32 bits). */
export const CONFIG_SUPPORTED_HASH_TYPES = 20;
/** Tunnels that they may look into, a bit each (32 bits). */
export const CONFIG_SUPPORTED_TUNNEL_TYPES = 24;
/** Length of the whole structure. */
export const CONFIG_BYTES = 28;

/** Bit of `status`: the link is up. */
export const S_LINK_UP = 1;
/** Bit of `status`: announce where you are. */
export const S_ANNOUNCE = 2;

/** The fewest and most pairs of queues that a device may have (5.1.4.1). */
export const PAIRS_MIN = 1, PAIRS_MAX = 0x8000;
/** The least MTU that a device may ask for (5.1.4.1); without {@linkcode F_MTU} it is the usual one. */
export const MTU_MIN = 68, MTU_USUAL = 1500;

// Header of a frame (5.1.9): offset of each field in bytes.

/** {@linkcode HDR_F_NEEDS_CSUM} and its like (8 bits). */
export const HDR_FLAGS = 0;
/** {@linkcode GSO_NONE} and its like (8 bits). */
export const HDR_GSO_TYPE = 1;
/** Bytes of the headers of what is cut (16 bits); from a device not to be relied on. */
export const HDR_HDR_LEN = 2;
/** Bytes of data in a segment (16 bits). */
export const HDR_GSO_SIZE = 4;
/** First byte that the checksum is of (16 bits). */
export const HDR_CSUM_START = 6;
/** Where it goes, from there (16 bits). */
export const HDR_CSUM_OFFSET = 8;
/** Buffers that the frame takes (16 bits); in legacy only with {@linkcode F_MRG_RXBUF}. */
export const HDR_NUM_BUFFERS = 10;
/** The hash (32 bits); with {@linkcode F_HASH_REPORT}, as the next. */
export const HDR_HASH_VALUE = 12;
/** What it was made of (16 bits); 0 if there is none. */
export const HDR_HASH_REPORT = 16;

/** Length of the header: legacy without {@linkcode F_MRG_RXBUF}, usual, with {@linkcode F_HASH_REPORT}. */
export const HDR_BYTES_LEGACY = 10, HDR_BYTES = 12, HDR_BYTES_HASH = 20;

/** The checksum is that of the pseudo header. */
export const HDR_F_NEEDS_CSUM = 1;
/** The device has found the checksum to be right. */
export const HDR_F_DATA_VALID = 2;

/** A frame as it is. */
export const GSO_NONE = 0;
/** TCP over IPv4. */
export const GSO_TCPV4 = 1;
/** UDP in fragments. */
export const GSO_UDP = 3;
/** TCP over IPv6. */
export const GSO_TCPV6 = 4;
/** UDP in datagrams. */
export const GSO_UDP_L4 = 5;
/** Besides: with congestion bits. */
export const GSO_ECN = 0x80;

/** What may be a frame: its header of 14 bytes. */
export const ETHER_HEADER = 14;
/** Room for a VLAN tag. */
export const VLAN_TAG = 4;
/** Longest frame that was put together, without a VLAN tag (5.1.9.3.1). */
export const LONGEST_GSO = 65589;

// Control queue (5.1.9.5): class in the high byte, command in the low one.

/** Receive everything (8 bits: 0 or 1), as the next five. */
export const CTRL_RX_PROMISC = 0x000;
/** Receive all multicast. */
export const CTRL_RX_ALLMULTI = 0x001;
/** Receive all unicast. */
export const CTRL_RX_ALLUNI = 0x002;
/** Receive no multicast. */
export const CTRL_RX_NOMULTI = 0x003;
/** Receive no unicast. */
export const CTRL_RX_NOUNI = 0x004;
/** Receive no broadcast. */
export const CTRL_RX_NOBCAST = 0x005;
/** Addresses to be received: twice a number (32 bits) and as many addresses, first unicast, then multicast. */
export const CTRL_MAC_TABLE_SET = 0x100;
/** One's own address. */
export const CTRL_MAC_ADDR_SET = 0x101;
/** A VLAN to be received (16 bits). */
export const CTRL_VLAN_ADD = 0x200;
/** A VLAN not to be received. */
export const CTRL_VLAN_DEL = 0x201;
/** What was asked for was announced. */
export const CTRL_ANNOUNCE_ACK = 0x300;
/** Pairs of queues to be used (16 bits). */
export const CTRL_MQ_VQ_PAIRS_SET = 0x400;
/** How hashes choose a queue; see 5.1.9.5.7. */
export const CTRL_MQ_RSS_CONFIG = 0x401;
/** What hashes are made of; see 5.1.9.5.6.4. */
export const CTRL_MQ_HASH_CONFIG = 0x402;
/** Receive offloads to be used (64 bits), by the numbers of their features. */
export const CTRL_GUEST_OFFLOADS_SET = 0x500;
/** After how many frames and microseconds to interrupt (32 bits each), for what was sent. */
export const CTRL_NOTF_COAL_TX_SET = 0x600;
/** The same for what came. */
export const CTRL_NOTF_COAL_RX_SET = 0x601;
/** The same for one queue: its index (16 bits), 16 bits of nothing, then as above. */
export const CTRL_NOTF_COAL_VQ_SET = 0x602;
/** What was set for one queue; the device writes what is above behind the index. */
export const CTRL_NOTF_COAL_VQ_GET = 0x603;
/** Tunnels that hashes look into (32 bits). */
export const CTRL_HASH_TUNNEL_SET = 0x700;
/** What the device counts; it writes 64 bits behind its acknowledgement. */
export const CTRL_STATS_QUERY = 0x800;
/** The counts: of each queue its index (16 bits), 48 bits of nothing, what is asked for (64 bits). */
export const CTRL_STATS_GET = 0x801;

/** The device did it. */
export const OK = 0;
/** The device did not. */
export const ERR = 1;

/** Most addresses of each kind that a driver asks to be filtered. */
export const MAC_TABLE_ENTRIES = 128;

/** Bytes of the header of a count (5.1.9.5.11.2): type (8), 0 (8), queue (16), 0 (16), size with it (16). */
export const STATS_HEADER_BYTES = 8;
/** Bit, in what a device counts, of what there is of the control queue. */
export const STATS_TYPE_CVQ = 32;
/** Bits for receive queues: basic, checksums, segmentation, speed. */
export const STATS_TYPES_RX: readonly number[] = [0, 1, 2, 3];
/** The same for transmit queues. */
export const STATS_TYPES_TX: readonly number[] = [16, 17, 18, 19];
