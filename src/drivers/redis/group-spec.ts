import type { GroupSpec, StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { withoutCovered } from "../../internal/topic-trie.ts";
import { idOfTime } from "./id.ts";

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

/** Where each of a lane's partitions begins, for the script: `$`, an id, or one id for each. */
export function startText(from: StartAt, live: boolean, stream: string, partitions: number): string {
  if (live) return "$";
  if ("at" in from) return from.at === "newest" ? "$" : "0";
  if ("time" in from) return idOfTime(from.time);
  return Array.from({ length: partitions }, (_, partition) => {
    const position = from.positions[`${stream}/${partition}`];
    if (position === undefined) return "0";
    if (!/^\d{1,20}(?:-\d{1,20})?$/.test(position))
      throw new DriverError("BUS_INVALID_OPTION", `position (${stream}/${partition}): not an id of Redis`);
    return position;
  }).join(" ");
}
