import { DriverError } from "./driver-error.ts";
import { withoutCovered } from "./topic-trie.ts";

type Reads = readonly { readonly stream: string; readonly patterns: readonly string[] }[];

/** What of a group stays as it was made; the driver contract's `GroupSpec` has it. */
interface Fixed {
  readonly group: string;
  readonly order: "group" | "process" | "none" | undefined;
  readonly live: boolean;
}
interface Spec extends Fixed {
  readonly reads: Reads;
  readonly from: object;
}

/** As it is stored when it is new. */
export function newSpec<Definition extends Spec>(spec: Definition): Definition {
  return {
    ...spec,
    from: spec.live ? { at: "newest" } : spec.from,
    order: spec.order ?? "group",
    reads: grownReads([], spec.reads) ?? [],
  };
}

/** With these patterns and no others. */
export function changedSpec<Definition extends Spec>(stored: Definition, reads: Reads): Definition {
  return { ...stored, reads: grownReads([], reads) ?? [] };
}

/** The stored definition with what another one adds; undefined when that is nothing. Throws on what can't be changed. */
export function grownSpec<Definition extends Spec>(stored: Definition, wanted: Spec): Definition | undefined {
  refuseOther(stored, wanted);
  const reads = grownReads(stored.reads, wanted.reads);
  return reads === undefined ? undefined : { ...stored, reads };
}

/** Its order and whether it is live are fixed when a group is made. */
export function refuseOther(stored: Fixed, wanted: Fixed): void {
  if (wanted.order !== undefined && wanted.order !== stored.order)
    throw new DriverError(
      "BUS_CONFLICT",
      `group (${stored.group}): its order is "${stored.order}" and can't become "${wanted.order}"`,
    );
  if (wanted.live !== stored.live)
    throw new DriverError(
      "BUS_CONFLICT",
      `group (${stored.group}): it is ${stored.live ? "live" : "durable"} and can't become ${wanted.live ? "live" : "durable"}`,
    );
}

/** The union, stream by stream, without what is covered; undefined when nothing is new. */
export function grownReads(stored: Reads, wanted: Reads): Reads | undefined {
  const streams = new Map(stored.map(({ stream, patterns }) => [stream, patterns]));
  let grown = false;
  for (const { stream, patterns } of wanted) {
    const known = streams.get(stream);
    const now = withoutCovered([...(known ?? []), ...patterns]);
    if (known !== undefined && now.join(" ") === known.join(" ")) continue;
    streams.set(stream, now);
    grown = true;
  }
  return grown ? [...streams].map(([stream, patterns]) => ({ stream, patterns })) : undefined;
}
