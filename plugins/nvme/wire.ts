/**
 * Numbers of NVM Express: base specification 2.0 (registers in 3.1.3, queue entries in 3.3.3, commands in 5), NVM command
 * set 1.0 (commands in 3.2, data structures in 4).
 *
 * @module
 */

// Controller properties; those of 64 bits as two halves.
export const CAP_LOW = 0x00;
export const CAP_HIGH = 0x04;
export const CC = 0x14;
export const CSTS = 0x1c;
export const AQA = 0x24;
export const ASQ = 0x28;
export const ACQ = 0x30;

// Fields of CAP, in its halves.
export const CAP_MQES = 0xffff;
export const CAP_TO_SHIFT = 24;
/** What CAP.TO counts, in milliseconds. */
export const CAP_TO_MS = 500;
export const CAP_DSTRD = 0xf;
export const CAP_CSS_NVM = 1 << 5;
export const CAP_MPSMIN_SHIFT = 16;

/** CC: on; I/O command set NVM, pages of 4096 bytes, round robin; entries of 2⁶ and 2⁴ bytes. */
export const CC_EN = 1;
export const CC_ENTRIES = 6 << 16 | 4 << 20;
export const CC_SHN = 3 << 14;
export const CC_SHN_NORMAL = 1 << 14;

export const CSTS_RDY = 1;
export const CSTS_CFS = 2;
export const CSTS_SHST = 3 << 2;
export const CSTS_SHST_COMPLETE = 2 << 2;

/** Bytes of a memory page (CC.MPS of 0), and of the entries of a PRP list. */
export const PAGE_BYTES = 4096;
export const PRP_BYTES = 8;

// Submission queue entries: dwords.
export const SQE_BYTES = 64;
export const SQE_DWORDS = 16;
export const NSID = 1;
export const PRP1 = 6;
export const PRP2 = 8;
export const CDW10 = 10;
export const CDW11 = 11;
export const CDW12 = 12;

// Completion queue entries: dwords, and fields of the last two.
export const CQE_BYTES = 16;
export const CQE_DWORDS = 4;
export const DW2 = 2;
export const DW3 = 3;
export const DW3_PHASE = 1 << 16;
export const DW3_STATUS_SHIFT = 17;

/** Status: type and code. */
export const STATUS = 0x7ff;
export const STATUS_SUCCESS = 0x000;
export const STATUS_INVALID_OPCODE = 0x001;
export const STATUS_INVALID_FIELD = 0x002;
export const STATUS_ABORT_REQUESTED = 0x007;
export const STATUS_LBA_OUT_OF_RANGE = 0x080;
export const STATUS_UNRECOVERED_READ = 0x281;

// Admin commands.
export const CREATE_SQ = 0x01;
export const CREATE_CQ = 0x05;
export const IDENTIFY = 0x06;
export const ABORT = 0x08;
export const SET_FEATURES = 0x09;
export const GET_FEATURES = 0x0a;
export const DOORBELL_BUFFER_CONFIG = 0x7c;

// Commands of the NVM command set.
export const FLUSH = 0x00;
export const WRITE = 0x01;
export const READ = 0x02;
export const WRITE_ZEROES = 0x08;
export const DATASET_MANAGEMENT = 0x09;

export const QUEUE_CONTIGUOUS = 1;
export const QUEUE_INTERRUPTS = 2;

export const FEATURE_WRITE_CACHE = 0x06;
export const FEATURE_QUEUES = 0x07;

/** What Identify tells (CNS). */
export const CNS_NAMESPACE = 0x00;
export const CNS_CONTROLLER = 0x01;
export const CNS_ACTIVE_NAMESPACES = 0x02;
/** Identifiers of a namespace, which controllers from 1.3 on have (NVM Express Base 2.0, 5.17.2.3). */
export const CNS_DESCRIPTORS = 0x03;
export const CNS_NVM_CONTROLLER = 0x06;
/** A descriptor: type, length, two reserved bytes, then the identifier. */
export const NIDT_EUI64 = 1;
export const NIDT_NGUID = 2;
export const NID = 4;
export const IDENTIFY_BYTES = 4096;

// Identify Controller.
export const ID_SN = 4;
export const ID_SN_BYTES = 20;
export const ID_MN = 24;
export const ID_MN_BYTES = 40;
export const ID_FR = 64;
export const ID_FR_BYTES = 8;
export const ID_MDTS = 77;
export const ID_VER = 80;
/** What kind of controller: 1 for one with I/O queues. */
export const ID_CNTRLTYPE = 111;
export const ID_OACS = 256;
export const OACS_DOORBELL_BUFFER = 1 << 8;
export const ID_ACL = 258;
/** Sizes of entries of submission and completion queues: powers of two, the least and the greatest. */
export const ID_SQES = 512;
export const ID_CQES = 513;
/** The greatest number of a namespace. */
export const ID_NN = 516;
export const ID_ONCS = 520;
export const ONCS_DATASET_MANAGEMENT = 1 << 2;
export const ONCS_WRITE_ZEROES = 1 << 3;
export const ID_VWC = 525;
export const ID_SUBNQN = 768;

// Identify Controller of the NVM command set.
export const NVM_WZSL = 1;
export const NVM_DMRSL = 4;

// Identify Namespace.
export const NS_NSZE = 0;
/** Blocks that it can hold, and that it holds. */
export const NS_NCAP = 8;
export const NS_NUSE = 16;
export const NS_NSFEAT = 24;
export const NSFEAT_OPTIMAL = 1 << 4;
export const NS_FLBAS = 26;
export const NS_DLFEAT = 33;
export const DLFEAT_DEAC = 1 << 3;
export const NS_NPWG = 64;
export const NS_NPDG = 68;
export const NS_NOWS = 72;
export const NS_NSATTR = 99;
export const NS_NGUID = 104;
export const NS_EUI64 = 120;
export const NS_LBAF = 128;

/** Of a write zeroes command: most blocks, and the flag in CDW12 that lets their storage go. */
export const ZEROES_BLOCKS = 0x10000;
export const CDW12_DEAC = 1 << 25;

/** Of a dataset management command: what is said of the ranges in CDW11, and bytes of a range. */
export const DEALLOCATE = 1 << 2;
export const RANGE_BYTES = 16;
