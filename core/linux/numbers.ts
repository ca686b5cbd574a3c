// Numbers of Linux that more than one kind of call takes.

/** A signal came before the call was done. */
export const EINTR = 4;
/** The call would block. */
export const EAGAIN = 11;
/** The other side is gone. */
export const ECONNRESET = 104;
/** Closed when the process becomes another program. */
export const O_CLOEXEC = 0o2000000;
/** Reads and writes do not wait. */
export const O_NONBLOCK = 0o4000;
/** Only a folder is opened. */
export const O_DIRECTORY = 0o200000;
/** As {@linkcode O_CLOEXEC}, of a socket. */
export const SOCK_CLOEXEC = 0o2000000;
/** For one open file alone. */
export const LOCK_EX = 2;
/** The lock is not waited for. */
export const LOCK_NB = 4;
/** What all sockets have. */
export const SOL_SOCKET = 1;
/** This call does not wait. */
export const MSG_DONTWAIT = 0x40;
/** No SIGPIPE if the other side is gone. */
export const MSG_NOSIGNAL = 0x4000;
/** Pages are read and written. */
export const PROT_READ_WRITE = 3;
/** What is written gets into the file. */
export const MAP_SHARED = 0x01;
