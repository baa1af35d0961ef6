import { spawnSync } from "node:child_process";
import { devNull } from "node:os";

const command = [
  "strace",
  "--follow-forks",
  "--seccomp-bpf",
  "--quiet=all",
  "--trace=fdatasync,fsync",
  "--inject=fdatasync,fsync:delay_exit=2000", // µs
  `--output=${devNull}`,
];

/** What makes each sync of a process take 2 ms longer; undefined where strace can't be used. */
export const slowDisk: readonly string[] | undefined =
  spawnSync(command[0]!, [...command.slice(1), process.execPath, "--version"], { stdio: "ignore" }).status === 0
    ? command
    : undefined;
