import { availableParallelism, totalmem } from "node:os";

/** The kind of machine, and nothing that names it. */
export function machine(): string {
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return `${availableParallelism()} cores, ${gibibytes} GiB, ${process.platform} ${process.arch}, Node ${process.versions.node}`;
}
