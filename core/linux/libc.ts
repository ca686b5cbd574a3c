/**
 * The one table of C functions. Nothing else in the project opens a library.
 *
 * Sizes are declared `u32` where the value always fits: a number is then passed without BigInt, and the
 * calling conventions of x86-64 and arm64 clear the upper half of the register.
 *
 * @module
 */

const FUNCTIONS = {
  __errno_location: { parameters: [], result: "pointer" },
  strerror: { parameters: ["i32"], result: "pointer" },
  strerrorname_np: { parameters: ["i32"], result: "pointer" },

  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  pread: { parameters: ["i32", "buffer", "u32", "i64"], result: "i32" },
  pwrite: { parameters: ["i32", "buffer", "u32", "i64"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  fsync: { parameters: ["i32"], result: "i32" },
  readlink: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  realpath: { parameters: ["buffer", "buffer"], result: "pointer" },
  getdents64: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  access: { parameters: ["buffer", "i32"], result: "i32" },
  dup2: { parameters: ["i32", "i32"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
  ioctl_number: { name: "ioctl", parameters: ["i32", "u32", "u64"], result: "i32" },

  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },
  poll_async: {
    name: "poll",
    parameters: ["buffer", "u32", "i32"],
    result: "i32",
    nonblocking: true,
  },
  sched_yield: { parameters: [], result: "i32" },

  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  unlink: { parameters: ["buffer"], result: "i32" },
  rename: { parameters: ["buffer", "buffer"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },

  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  mmap: { parameters: ["u64", "u64", "i32", "i32", "i32", "i64"], result: "u64" },
  munmap: { parameters: ["u64", "u64"], result: "i32" },

  getpid: { parameters: [], result: "i32" },
  getppid: { parameters: [], result: "i32" },
  geteuid: { parameters: [], result: "i32" },
  setresuid: { parameters: ["u32", "u32", "u32"], result: "i32" },
  setresgid: { parameters: ["u32", "u32", "u32"], result: "i32" },
  setgroups: { parameters: ["u32", "pointer"], result: "i32" },
  signal: { parameters: ["i32", "u64"], result: "u64" },
  kill: { parameters: ["i32", "i32"], result: "i32" },
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  clock_getcpuclockid: { parameters: ["i32", "buffer"], result: "i32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  /** `read` or `write`, by number, with two arguments that the kernel does not look at. */
  transfer: {
    name: "syscall",
    parameters: ["u32", "i32", "buffer", "u32", "u32", "u32"],
    result: "i32",
  },
  seccomp: { name: "syscall", parameters: ["u32", "u32", "u32", "buffer"], result: "i32" },
  landlock_create_ruleset: {
    name: "syscall",
    parameters: ["u32", "buffer", "u32", "u32"],
    result: "i32",
  },
  landlock_restrict_self: { name: "syscall", parameters: ["u32", "i32", "u32"], result: "i32" },
  pidfd_open: { name: "syscall", parameters: ["i64", "i32", "u32"], result: "i64" },
  posix_spawn: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_adddup2: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  posix_spawn_file_actions_addclosefrom_np: {
    parameters: ["buffer", "i32"],
    result: "i32",
    optional: true,
  },
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_setflags: { parameters: ["buffer", "i32"], result: "i32" },
  posix_spawnattr_setpgroup: { parameters: ["buffer", "i32"], result: "i32" },
  posix_spawnattr_setsigmask: { parameters: ["buffer", "buffer"], result: "i32" },
  posix_spawnattr_setsigdefault: { parameters: ["buffer", "buffer"], result: "i32" },
  posix_spawnattr_destroy: { parameters: ["buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions of {@linkcode libc}. */
export type Libc = Deno.DynamicLibrary<typeof FUNCTIONS>["symbols"];

let table: Libc | undefined;

/**
 * The C library's functions, opened at first use, so that importing the project asks for no permission.
 *
 * Safety: the signatures above are those of Linux with glibc on 64-bit machines; every buffer that is passed
 * must be at least as long as the length passed beside it.
 *
 * @returns The table. It stays callable after the process gave up its FFI permission.
 * @throws If the FFI permission is missing or this is not Linux with glibc.
 */
export function libc(): Libc {
  if (!table) {
    if (Deno.build.os !== "linux") {
      throw new Error(`Cannot open the C library: this is ${Deno.build.os}, drivers run on Linux`);
    }
    table = Deno.dlopen("libc.so.6", FUNCTIONS).symbols;
  }
  return table;
}

/**
 * Forgets the functions. A module that holds one keeps it; all others of this process, plugins included, would have
 * to open the library again and so needs the permission.
 */
export function forgetLibc(): void {
  table = undefined;
}

const encoder = new TextEncoder();

/** A C string: UTF-8 with a final NUL. Text with a NUL inside is refused, since C would cut it there. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`Cannot pass text to C: it contains a NUL character`);
  }
  return encoder.encode(text + "\0");
}

/**
 * Where bytes are, as structures for C say it.
 *
 * Safety: the address is good only while the bytes are held, by the caller, in a variable that is used after the call.
 */
export function addressOf(bytes: Uint8Array<ArrayBufferLike>): bigint {
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as BufferSource)));
}
