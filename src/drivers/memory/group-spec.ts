import type { GroupSpec } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { withoutCovered } from "../../internal/topic-trie.ts";

/** As it is stored when it is new. */
export function newSpec(spec: GroupSpec): GroupSpec {
  return {
    ...spec,
    from: spec.live ? { at: "newest" } : spec.from,
    order: spec.order ?? "group",
    reads: grownReads([], spec.reads) ?? [],
  };
}

/** With these patterns and no others. */
export function changedSpec(stored: GroupSpec, reads: GroupSpec["reads"]): GroupSpec {
  return { ...stored, reads: grownReads([], reads) ?? [] };
}

/** The stored definition with what another one adds; undefined when that is nothing. Throws on what can't be changed. */
export function grownSpec(stored: GroupSpec, wanted: GroupSpec): GroupSpec | undefined {
  if (wanted.order !== undefined && wanted.order !== stored.order) {
    throw new DriverError(
      "BUS_CONFLICT",
      `group (${stored.group}): its order is "${stored.order}" and can't become "${wanted.order}"`,
    );
  }
  if (wanted.live !== stored.live)
    throw new DriverError(
      "BUS_CONFLICT",
      `group (${stored.group}): it is ${stored.live ? "live" : "durable"} and can't become ${wanted.live ? "live" : "durable"}`,
    );
  const reads = grownReads(stored.reads, wanted.reads);
  return reads === undefined ? undefined : { ...stored, reads };
}

/** The union, stream by stream, without what is covered; undefined when nothing is new. */
function grownReads(stored: GroupSpec["reads"], wanted: GroupSpec["reads"]): GroupSpec["reads"] | undefined {
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
